//! Resolution of names to ids.

use super::{Item, Noun};
use crate::cli::account::{Account, given};
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::nearest::nearest;
use crate::provider::catalogue::Call;
use crate::provider::id::ObjectId;

/// Returns the id of the object that `text` identifies: an id, or a name that exactly one object has.
pub async fn resolve(noun: &Noun, text: &str, account: &Account) -> Result<String> {
    let Some(list) = noun.by_name.filter(|_| !is_uuid(text)) else { return Ok(text.to_owned()) };
    let call = Call::find(account.provider(), list)?;
    let filter = call.input.keys().any(|(key, _)| key.name == "name");
    let filter = filter.then(|| ("name".to_owned(), text.to_owned()));
    let items = account.items(list, &given([], filter)).await?;
    one(noun, text, account.remote(), &items)
}

fn one(noun: &Noun, text: &str, remote: &str, items: &[Item]) -> Result<String> {
    let all: Vec<(String, String)> =
        items.iter().map(|item| (item.text(noun.id), item.text("name"))).collect();
    let id = only_one(noun, text, remote, &all)?;
    // The id goes into a URL's path, so it has to be valid.
    ObjectId::from_server(noun.one, &id).map(String::from)
}

/// Returns the id of the one object whose id or name is `text`. `all` holds the ids and names of all objects.
///
/// # Errors
/// [`Kind::NotFound`] if no object matches, or a usage error that lists the matches if there are several.
pub fn only_one(noun: &Noun, text: &str, remote: &str, all: &[(String, String)]) -> Result<String> {
    let (one, many) = (noun.one, noun.many);
    let found: Vec<&str> =
        all.iter().filter(|(id, name)| name == text || id == text).map(|(id, _)| id.as_str()).collect();
    match found[..] {
        [id] => Ok(id.to_owned()),
        [] => {
            let near = nearest(text, all.iter().map(|(_, name)| (name, name.as_str())));
            let near = near.map(|near| format!("did you mean `{remote}:{}`? ", escape::line(near)));
            Err(Error::new(Kind::NotFound, format!("no {one} on `{remote}:` is named `{text}`")).hint(
                format!(
                    "{}`diskferry {} list {remote}:` lists the {many}",
                    near.unwrap_or_default(),
                    noun.name
                ),
            ))
        }
        _ => {
            let targets = found.iter().map(|id| format!("\n  {remote}:{}", escape::line(id)));
            Err(Error::usage(format!("{} {many} on `{remote}:` are named `{text}`", found.len()))
                .hint(format!("name the one by its id:{}", targets.collect::<String>())))
        }
    }
}

/// Returns whether `text` is a UUID in the form that the providers use.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::parse_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::drive::DRIVE;
    use crate::wire::elastic::Properties;

    #[test]
    fn a_name_is_one_objects_or_an_error_that_says_which_there_are() {
        let drive = |id: &str, name: &str| Item::Flat(Properties::new().with("drive", id).with("name", name));
        let drives = [drive("d1", "web"), drive("d2", "db"), drive("d3", "db")];
        let one = |text| one(&DRIVE, text, "oh", &drives);
        assert_eq!(one("web").unwrap(), "d1");
        assert_eq!(one("d2").unwrap(), "d2", "an id that is no UUID is an id all the same");
        let several = one("db").unwrap_err();
        assert_eq!(several.kind().exit_code(), 2);
        assert!(several.hint_text().is_some_and(|hint| hint.contains("oh:d2") && hint.contains("oh:d3")));
        let none = one("wep").unwrap_err();
        assert_eq!(none.kind().exit_code(), 5);
        assert!(none.hint_text().is_some_and(|hint| hint.contains("did you mean `oh:web`")), "{none:?}");
    }
}
