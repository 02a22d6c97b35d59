//! Options that a command takes and that would have no effect as it is given: they are refused, since whoever wrote one
//! expects something of it.

use crate::config::Target;
use crate::error::{Error, Result};
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::path::PathBuf;

/// Options of a restore that are about a drive, by their ids and as they are written.
const OF_DRIVES: [(&str, &str); 5] = [
    ("name", "--name"),
    ("size", "--size"),
    ("keys", "--set"),
    ("compress", "--compress"),
    ("zeros", "--zeros"),
];

/// Refuses what would be ignored.
pub(super) fn refuse(matches: &ArgMatches) -> Result<()> {
    match matches.subcommand() {
        Some(("verify", given)) if is_given(given, "resume") => {
            Err(Error::usage("`--resume` has no effect here: `verify` compares everything in each run")
                .hint("leave it out; `--verify sample` compares a sample"))
        }
        Some(("restore", given)) if restores_files(given) => {
            match OF_DRIVES.iter().find(|(id, _)| is_given(given, id)) {
                Some((_, option)) => {
                    Err(Error::usage(format!("`{option}` is for a drive, and the destination is a file"))
                        .hint("leave it out, or name a remote, as in `REMOTE:`"))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

fn restores_files(given: &ArgMatches) -> bool {
    let to = given.get_one::<PathBuf>("to");
    to.is_some_and(|to| !to.to_str().is_some_and(Target::is_target))
}

#[cfg(test)]
mod tests {
    use super::refuse;
    use crate::cli::parse::definition;

    fn refused(line: &str) -> Option<String> {
        let matches = definition().try_get_matches_from(line.split(' ')).unwrap();
        refuse(&matches).err().map(|error| error.to_string())
    }

    #[test]
    fn what_has_no_effect_is_refused_and_nothing_else() {
        let to_file = "diskferry restore backups/web web.img";
        for option in ["--name a", "--size 1G", "--set tags=a", "--compress 1", "--zeros skip"] {
            let said = refused(&format!("{to_file} {option}")).unwrap();
            assert!(said.contains("the destination is a file"), "{said}");
            assert_eq!(refused(&format!("diskferry restore backups/web oh: {option}")), None);
        }
        assert_eq!(refused(to_file), None);
        assert!(refused("diskferry verify a.img oh:web --resume full").is_some());
        assert_eq!(refused("diskferry verify a.img oh:web --verify sample"), None);
        assert_eq!(refused("diskferry upload a.img oh:web --resume full"), None);
    }
}
