use super::*;

const PAINT: Painter = Painter::PLAIN;

/// The paths of all commands, groups among them.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &Command, path: &[String], all: &mut Vec<Vec<String>>) {
        for command in command.get_subcommands().filter(|command| is_shown(command)) {
            let path = [path, &[command.get_name().to_owned()]].concat();
            below(command, &path, all);
            all.push(path);
        }
    }
    let mut all = vec![Vec::new()];
    below(&definition(), &[], &mut all);
    all
}

fn of(path: &[String], long: bool) -> String {
    Page { width: WIDTH, long, paint: PAINT }.of(path)
}

#[test]
fn a_page_fits() {
    let mut wrong = Vec::new();
    for path in commands() {
        for (long, most) in [(false, 40), (true, 80)] {
            let page = of(&path, long);
            let (lines, widest) = (page.lines().count(), page.lines().map(|line| line.chars().count()).max());
            if lines > most || widest > Some(WIDTH) {
                wrong.push(format!("{} (long: {long}): {lines} lines, {widest:?} wide", path.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_page_has_every_option_and_the_short_one_the_common() {
    for path in commands() {
        let long = of(&path, true);
        let mut root = definition();
        root.build();
        let command = path.iter().fold(&root, |command, name| command.find_subcommand(name).unwrap());
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let shown = arg.get_long().map_or_else(|| signature(arg), |long| format!("--{long}"));
            assert!(long.contains(&shown), "{path:?}: {shown}\n{long}");
        }
    }
    let short = of(&["upload".to_owned()], false);
    assert!(short.contains("--verify") && !short.contains("--chunk-size"), "{short}");
}

#[test]
fn the_own_options_come_first_and_the_global_ones_last() {
    let page = of(&["upload".to_owned()], true);
    let places = ["Arguments:", "Options:", "Transfer options:", "Global options:", "Examples:"]
        .map(|heading| page.find(heading).unwrap_or_else(|| panic!("{heading}\n{page}")));
    assert!(places.is_sorted(), "{page}");
}

#[test]
fn every_command_has_two_examples_that_parse() {
    let top = commands().into_iter().filter(|path| path.len() == 1);
    for path in top {
        let examples = examples::of(&path);
        assert_eq!(examples.len(), 2, "{path:?}");
    }
    for example in examples::all() {
        let words = example.command.split(' ').take_while(|word| *word != ">");
        definition().try_get_matches_from(words).unwrap_or_else(|e| panic!("{}: {e}", example.command));
    }
}

#[test]
fn the_command_is_found_among_the_options() {
    let path = |line: &str| path(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
    assert_eq!(path("--config drive upload -h"), "upload");
    assert_eq!(path("-v drive list oh: --help"), "drive list");
    assert_eq!(path("--json --color=never server ls"), "server list");
    assert_eq!(path("nothing drive"), "");
    assert!(is_short("-h") && is_short("-vh") && !is_short("--help") && !is_short("-v"));
}

#[test]
fn without_a_command_the_five_most_done_things_are_shown() {
    let start = missing(&[], PAINT);
    assert_eq!(start.lines().filter(|line| line.starts_with("  diskferry ")).count(), 5, "{start}");
    assert!(missing(&["drive".to_owned()], PAINT).contains("destroy"));
}
