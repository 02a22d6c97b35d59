//! `remote add` at a terminal: asks step by step for what the command line omits.

use crate::cli::prompt;
use crate::config::{Config, DiskService, Service, parse_address};
use crate::error::{Error, Result};
use crate::provider::Provider;

/// The number of times that a question is asked before the command gives up.
const TRIES: usize = 3;

/// Returns the provider's word for a user; `None` if it has no users.
pub(super) fn user_called(service: Service) -> Option<&'static str> {
    match service {
        Service::Api(Provider::OpenHosting | Provider::Crosspeer) => Some("user UUID"),
        Service::Api(Provider::CloudSigma) => Some("e-mail address"),
        Service::Api(Provider::Joyent) => Some("login"),
        Service::Api(Provider::SpotCloud) | Service::Disks(_) => None,
    }
}

/// Asks for the remote's name.
pub(super) fn name(config: &Config) -> Result<String> {
    ask("name of the remote, as in oh", None, |text| {
        let name = text.strip_suffix(':').unwrap_or(text);
        if config.names().iter().any(|known| known == name) {
            return Err(Error::usage(format!("there is already a remote `{name}:`")));
        }
        crate::config::check_name(name).map(|()| name.to_owned())
    })
}

/// Asks for the provider, by its name or its number in the list.
pub(super) fn provider() -> Result<Service> {
    let names: Vec<&str> = Service::names().collect();
    let list: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("{} {name}", n + 1)).collect();
    ask(&format!("provider ({})", list.join(", ")), None, |text| {
        let numbered = text.parse::<usize>().ok().and_then(|n| names.get(n.checked_sub(1)?));
        numbered.copied().unwrap_or(text).parse()
    })
}

/// Asks for the address of the API or of the disk server.
pub(super) fn url(service: Service) -> Result<String> {
    let what = match service {
        Service::Api(_) => "URL of the API".to_owned(),
        Service::Disks(DiskService::Nbd) => "address, as in nbd://HOST or nbds://HOST".to_owned(),
        Service::Disks(DiskService::Imageio) => "URL, as in https://HOST:54322/images".to_owned(),
        Service::Disks(DiskService::Azure) => "URL of the container".to_owned(),
    };
    ask(&what, service.default_url(), |text| parse_address(text, service).map(|_| text.to_owned()))
}

/// Asks for the user, or for the key of an OAuth consumer.
pub(super) fn user(what: &str) -> Result<String> {
    ask(what, None, |text| Ok(text.to_owned()))
}

/// Asks whether the user agrees. Enter means yes.
pub(super) fn agrees(question: &str) -> Result<bool> {
    let answer = prompt::line(&format!("{question} [Y/n]"))?.unwrap_or_default().to_lowercase();
    Ok(matches!(&*answer, "" | "y" | "yes"))
}

/// Asks until the answer is valid, and gives up after [`TRIES`] times.
fn ask<T>(what: &str, default: Option<&str>, understand: impl Fn(&str) -> Result<T>) -> Result<T> {
    let question = default.map_or_else(|| what.to_owned(), |default| format!("{what} [{default}]"));
    let mut wrong = Error::usage(format!("the {what} is missing"));
    for _ in 0..TRIES {
        let answer = prompt::line(&question)?;
        let Some(text) = answer.as_deref().or(default) else { continue };
        match understand(text) {
            Ok(value) => return Ok(value),
            Err(error) => {
                let hint = error.hint_text().map(|hint| format!(" ({hint})")).unwrap_or_default();
                prompt::say(&format!("{error}{hint}"))?;
                wrong = error;
            }
        }
    }
    Err(wrong)
}
