//! Copies a drive from one remote to another without a local disk, and compares both ends.
//!
//!     cargo run --release --example migrate -- FROM_URL USER DRIVE TO_URL USER
//!
//! The secrets are read from the environment variables `FROM_SECRET` and `TO_SECRET`.

use diskferry::engine::Context;
use diskferry::engine::compare::Amount;
use diskferry::engine::encode::codec::Compression;
use diskferry::job::upload::{Delta, Upload, Zeros};
use diskferry::job::{RemoteStore, Settings, migrate};
use diskferry::meters::Meters;
use diskferry::remote::{Auth, Client, Drives, Options, Provider};
use diskferry::{Error, Result, event, stop::Stop};
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Error::io("cannot start the runtime", e))?.block_on(run())
}

/// Returns the drives of an account at Open Hosting or a provider of the same family.
fn far(name: &str, url: &str, user: &str, context: &Context) -> Result<RemoteStore> {
    let variable = format!("{}_SECRET", name.to_uppercase());
    let secret = std::env::var(&variable).map_err(|_| Error::usage(format!("{variable} is not set")))?;
    let base = url.parse().map_err(|e| Error::usage(format!("{url} is not a URL: {e}")))?;
    let auth = Auth::basic(user, &secret.into())?;
    let meters = Arc::clone(&context.meters);
    let client = Client::new(Provider::OpenHosting, base, auth, &Options::default(), meters)?;
    let drives = Drives::new(client, context.retry.clone())?;
    Ok(RemoteStore { remote: name.to_owned(), account: format!("{url} {user}"), store: Arc::new(drives) })
}

async fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [from_url, from_user, drive, to_url, to_user] = &words[..] else {
        return Err(Error::usage("expected five arguments: FROM_URL USER DRIVE TO_URL USER"));
    };
    let context = Context::new(Arc::new(Meters::default()), event::no_observer(), Stop::never(), 8, None);
    let from = far("from", from_url, from_user, &context)?;
    let to = far("to", to_url, to_user, &context)?;
    let image = migrate::disk(drive, &from, &context).await?;
    let upload = Upload {
        drive: None,
        name: None,
        size: None,
        keys: Vec::new(),
        compression: Compression::Auto,
        zeros: Zeros::Auto,
        delta: Delta::Off,
    };
    let settings = Settings { verify: Amount::Full, ..Settings::new(Path::new("state")) };
    if let Some(done) = upload.run(image, &to, &settings, &context).await? {
        println!("{} bytes are in drive {}", done.result.size, done.result.drive);
        done.commit()?;
    }
    Ok(())
}
