//! The services that answer for the accounts of a provider.

use super::account::{Accounts, Costs, Money};
use super::call::Calls;
use super::config::AccountConfig;
use super::drives::{self, Drives, Offer};
use super::faults::{self, Dealer};
use super::front::{self, Front};
use super::hook::Activity;
use super::tenant::{Tenant, Tenants};
use super::{Config, Shared, auth, cloudsigma, elastic, joyent, spotcloud};
use crate::emulator::Dialect;
use axum::Router;
use std::io;
use std::sync::Arc;

/// One account of a provider.
pub(super) struct Service {
    pub(super) front: Box<dyn Front>,
    pub(super) router: Router,
    /// Finished before the emulator ends.
    pub(super) drives: Option<Arc<Drives>>,
}

impl Service {
    /// Opens the accounts of a configuration, and their drives.
    pub(super) fn open_all(
        mut config: Config,
        dealer: &Arc<Dealer>,
        activity: &Arc<Activity>,
    ) -> io::Result<(Tenants, Vec<Arc<Drives>>)> {
        let (others, data) = (std::mem::take(&mut config.accounts), config.data.clone());
        let mut drives = Vec::new();
        let mut tenant = |config: Config| -> io::Result<Tenant> {
            let user = config.user.clone();
            let service = Service::open(config, dealer, activity)?;
            drives.extend(service.drives);
            Ok(Tenant { user, front: service.front, router: service.router })
        };
        let other = |account: AccountConfig| Config {
            // A login may not be a valid directory name; the UUID derived from it is.
            data: data.join("accounts").join(owner(&account.user)),
            user: account.user,
            secret: account.secret,
            keys: account.keys,
            appliances: account.appliances,
            ..config.clone()
        };
        let others: Vec<Config> = others.into_iter().map(other).collect();
        let first = tenant(config)?;
        let others = others.into_iter().map(&mut tenant).collect::<io::Result<_>>()?;
        Ok((Tenants::new(first, others), drives))
    }

    fn open(config: Config, dealer: &Arc<Dealer>, activity: &Arc<Activity>) -> io::Result<Self> {
        let (calls, offers) = match config.provider {
            Dialect::OpenHosting | Dialect::Crosspeer => {
                (elastic::calls(), Offer::of(config.provider.name()))
            }
            Dialect::CloudSigma => (cloudsigma::calls(), Offer::of(config.provider.name())),
            Dialect::Joyent => return joyent::open(config),
            Dialect::SpotCloud => return spotcloud::open(config, dealer),
        };
        Self::elastic(config, dealer, activity, calls, offers)
    }

    /// Opens an account of a provider of drives.
    fn elastic(
        config: Config,
        dealer: &Arc<Dealer>,
        activity: &Arc<Activity>,
        calls: Calls,
        offers: Vec<Offer>,
    ) -> io::Result<Self> {
        let drives = Arc::new(Drives::open(&config.data, offers)?);
        let limit = config.faults.balance.map(Money);
        let bills = config.provider == Dialect::CloudSigma || limit.is_some();
        let costs = Costs { drives: Arc::clone(&drives), bills, limit };
        let account = Accounts::open(config.data.join("account.json"), costs)?;
        let credentials = auth::Credentials::new(&config.user, &config.secret);
        let shared = Arc::new(Shared {
            provider: config.provider,
            user: owner(&config.user),
            login: config.user,
            dealer: Arc::clone(dealer),
            drives: Arc::clone(&drives),
            account,
            activity: Arc::clone(activity),
        });
        Ok(Service {
            front: Box::new(front::Elastic { provider: config.provider, credentials }),
            router: calls.into_router(shared),
            drives: Some(drives),
        })
    }
}

/// Returns the UUID of a user: the login itself if it is one, else one derived from it, the same every time.
pub(super) fn owner(login: &str) -> String {
    if drives::is_uuid(login) {
        return login.to_owned();
    }
    let half = |seed| login.bytes().fold(seed, |all, byte| faults::mix(all ^ u64::from(byte)));
    uuid::Uuid::from_u64_pair(half(1), half(2)).to_string()
}
