//! The commands in the groups that `diskferry --help` lists them in.

/// A heading and the commands below it.
pub(super) struct Group {
    pub(super) heading: &'static str,
    pub(super) commands: &'static [&'static str],
}

/// Every command is in exactly one group.
pub(super) const GROUPS: [Group; 6] = [
    Group { heading: "Transfers", commands: &["upload", "download", "migrate", "verify", "transfers"] },
    Group { heading: "Everyday", commands: &["drive", "server", "boot", "call", "calls"] },
    Group { heading: "SpotCloud", commands: &["appliance", "instance", "hardware"] },
    Group {
        heading: "Joyent",
        commands: &["machine", "snapshot", "tag", "metadata", "key", "package", "dataset", "analytics"],
    },
    Group { heading: "Backups", commands: &["backup", "restore", "backups"] },
    Group { heading: "Setup", commands: &["remote", "serve", "completions", "man"] },
];

/// Options that `-h` leaves out, because few commands need them. `--help` has them all.
pub(super) const RARE: [&str; 25] = [
    "yes",
    "on-change",
    "sha256",
    "tag",
    "drive-set",
    "vnc-password-file",
    "chunk-size",
    "resume",
    "if-in-use",
    "report",
    "manifest",
    "digest",
    "retries",
    "timeout",
    "source-format",
    "follow-backing",
    "member",
    "size-at-most",
    "target-format",
    "zeros",
    "shard",
    "as-printed",
    "consumer-key",
    "key-id",
    "bitmap",
];

/// Commands that the short page leaves out, for the same reason.
pub(super) const RARE_COMMANDS: [&str; 5] = ["instance", "tag", "metadata", "package", "dataset"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::definition;

    #[test]
    fn each_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|group| group.commands).copied().collect();
        let definition = definition();
        let mut commands: Vec<&str> = definition
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        grouped.sort_unstable();
        commands.sort_unstable();
        assert_eq!(grouped, commands);
    }

    #[test]
    fn each_rare_command_exists() {
        for name in RARE_COMMANDS {
            assert!(definition().find_subcommand(name).is_some(), "{name}");
        }
    }

    #[test]
    fn each_rare_option_exists() {
        fn has(command: &clap::Command, long: &str) -> bool {
            command.get_arguments().any(|arg| arg.get_long() == Some(long))
                || command.get_subcommands().any(|below| has(below, long))
        }
        for long in RARE {
            assert!(has(&definition(), long), "--{long}");
        }
    }
}
