//! The examples at the end of each command's help. A test runs every one of them (`tests/mistakes/examples.rs`).
//!
//! The remotes of the examples: `oh:` is Open Hosting, `cp:` Crosspeer, `cs:` CloudSigma, `spot:` SpotCloud and `sdc:`
//! Joyent.

use super::path;

/// A command that works, and what it does in a few words.
pub(super) struct Example {
    pub(super) command: &'static str,
    pub(super) what: &'static str,
}

const fn example(command: &'static str, what: &'static str) -> Example {
    Example { command, what }
}

/// What `diskferry` alone shows: the five things that people do most.
pub(super) const START: [Example; 5] = [
    example("diskferry upload disk.img local:", "an image to a new drive"),
    example("diskferry drive list local:", "the drives, with their names"),
    example("diskferry download oh:web-1 web-1.img", "a drive to a file"),
    example("diskferry migrate oh:web-1 cs:", "a drive to another cloud"),
    example("diskferry backup oh: --all backups", "every drive, deduplicated"),
];

const EXAMPLES: &[Example] = &[
    example("diskferry upload disk.img oh:", "to a new drive"),
    example("diskferry upload disk.img oh: --verify full", "read back and compared"),
    example("diskferry download oh:web-1 web-1.img", ""),
    example("diskferry download oh: --all images", ""),
    example("diskferry migrate oh:web-1 cs:", ""),
    example("diskferry migrate oh: cs: --all --dry-run", ""),
    example("diskferry verify disk.img oh:web-1", ""),
    example("diskferry verify disk.img oh:web-1 --sha256", ""),
    example("diskferry transfers list", ""),
    example("diskferry transfers show f3cd", ""),
    example("diskferry transfers discard f3cd", ""),
    example("diskferry backup oh:web-1 backups", ""),
    example("diskferry backup oh: --all backups", ""),
    example("diskferry restore backups/web-1 restored.img", "to a file"),
    example("diskferry restore backups/web-1 oh:", "to a new drive"),
    example("diskferry backups list backups", ""),
    example("diskferry backups verify backups --read-data", ""),
    example("diskferry backups prune backups --keep-daily 7 --keep-weekly 4", ""),
    example("diskferry call oh: drives.create name=data size=10G", ""),
    example("diskferry call spot: hardware.list --sort cost", "a list as a table"),
    example("diskferry calls oh:", "the calls of a remote's provider"),
    example("diskferry calls openhosting drives.create", "one call and its keys"),
    example("diskferry drive list oh:", ""),
    example("diskferry drive list --standard cp:", "the provider's own images"),
    example("diskferry drive info oh:web-1", ""),
    example("diskferry drive create oh: name=data size=10G", ""),
    example("diskferry drive set cs:web-1 name=web-1-old", ""),
    example("diskferry drive clone cs:web-1 --name web-1-copy", ""),
    example("diskferry drive image oh:data web-1 --wait", ""),
    example("diskferry server list oh:", ""),
    example("diskferry server info oh:web", ""),
    example("diskferry server create oh: name=db cpu=2000 mem=1024 --stopped", ""),
    example("diskferry server stop oh:web", ""),
    example("diskferry server start oh:web --wait", ""),
    example("diskferry server shutdown oh:web --wait=5m", ""),
    example("diskferry boot disk.img oh: --cpu 2GHz --mem 2G", ""),
    example("diskferry boot oh:web-1 --name web-2", ""),
    example("diskferry appliance list spot:", ""),
    example("diskferry appliance public spot:", ""),
    example("diskferry instance list spot:", ""),
    example("diskferry instance list spot: --json", ""),
    example("diskferry hardware list spot: --min-memory 2G --sort cost", ""),
    example("diskferry hardware list spot: --continent EU", ""),
    example("diskferry machine list sdc:", ""),
    example("diskferry machine create sdc: --package regular_1024 --wait", ""),
    example("diskferry snapshot create sdc:web before-upgrade --wait", ""),
    example("diskferry snapshot list sdc:web", ""),
    example("diskferry tag add sdc:web role=db", ""),
    example("diskferry tag list sdc:web", ""),
    example("diskferry metadata set sdc:web owner=ops", ""),
    example("diskferry metadata list sdc:web", ""),
    example("diskferry key list sdc:", ""),
    example("diskferry key create sdc: id_rsa.pub --name laptop", ""),
    example("diskferry package list sdc:", ""),
    example("diskferry package list sdc: -q", "the names alone"),
    example("diskferry dataset list sdc:", ""),
    example("diskferry dataset list sdc: -q", "the ids alone"),
    example("diskferry analytics values sdc:1", ""),
    example("diskferry analytics heatmap sdc:1 heatmap.png", ""),
    example("diskferry remote list", ""),
    example("diskferry remote show oh:", ""),
    example("diskferry remote test oh:", "sign in, measure, report"),
    example("diskferry serve openhosting=127.0.0.1:8701 --data drives", "one of them"),
    example("diskferry serve --faults error=0.2,seed=7", "with failures"),
    example("diskferry completions bash > diskferry.bash", "then source it"),
    example("diskferry completions fish > diskferry.fish", ""),
    example("diskferry man > diskferry.1", ""),
    example("diskferry man --dir man1", "a page for every command"),
];

/// The most examples of one page.
const MOST: usize = 2;

/// Returns the examples of a command: its own, or those of the commands below it.
pub(super) fn of(command: &[String]) -> Vec<&'static Example> {
    let is_of = |example: &&Example| {
        let words: Vec<String> = example.command.split(' ').skip(1).map(str::to_owned).collect();
        path(&words).starts_with(command)
    };
    if command.is_empty() {
        return START.iter().collect();
    }
    EXAMPLES.iter().filter(is_of).take(MOST).collect()
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static Example> {
    START.iter().chain(EXAMPLES)
}
