//! The parser refuses what it does not know, with the line.

use super::parse::golden;
use diskferry::provider::Provider;

const HEAD: &str = "name: drive uuid 08c92dd5-70a0-4f51-83d2-835919d254df\n";
const GOOD: &str =
    "=== drives.info\nlines: 1-2, 7\ncall: drives.info {drive}\n>>>\nGET /drives/{drive}/info\n<<<\n200\n";

fn refusal(text: &str) -> (usize, String) {
    golden(Provider::OpenHosting, text).expect_err(text)
}

#[test]
fn what_is_written_is_read() {
    let text = format!(
        "{HEAD}{GOOD}Content-Type: text/plain\n\nname a\n\nname b\n\n# The next part.\n\n{}",
        GOOD.replace("info", "set")
    );
    let read = golden(Provider::OpenHosting, &text).unwrap();
    assert_eq!(read.exchanges.len(), 2);
    let first = &read.exchanges[0];
    assert_eq!((first.id(), first.at, first.status()), ("drives.info", 2, 200));
    assert_eq!(first.call, ["drives.info", "{drive}"]);
    assert_eq!((first.method(), first.path()), ("GET", "/drives/{drive}/info"));
    assert_eq!(first.answer.body, "name a\n\nname b");
}

#[test]
fn what_is_not_known_is_refused() {
    for (text, at, why) in [
        ("colour: red\n".to_owned(), 1, "not known"),
        (format!("{HEAD}{HEAD}"), 2, "twice"),
        ("name: drive uuid nonsense\n".to_owned(), 1, "kind"),
        (format!("{HEAD}{GOOD}{GOOD}"), 9, "twice"),
        (format!("{HEAD}{}", GOOD.replace("lines: 1-2, 7", "lines: about 7")), 3, "not known"),
        (format!("{HEAD}{}", GOOD.replace("lines: 1-2, 7\n", "")), 2, "lines of the manual"),
        (format!("{HEAD}{}", GOOD.replace("<<<\n", "")), 2, "<<<"),
        (format!("{HEAD}{}", GOOD.replace("GET /", "GOT /")), 2, "METHOD PATH"),
        (format!("{HEAD}{}", GOOD.replace("\n200", "\nOK")), 2, "status"),
        (format!("{HEAD}{}", GOOD.replace("call: drives.info", "call: drives.list")), 2, "the call is not"),
        (format!("{HEAD}{}", GOOD.replace("\n200", "\n404")), 2, "exit status"),
        (format!("{HEAD}{}", GOOD.replace("call:", "given: nothing\ncall:")), 2, "not given above"),
        (format!("{HEAD}{}", GOOD.replace("{drive}/info", "{drove}/info")), 6, "not declared"),
        (
            format!(
                "{HEAD}{}",
                GOOD.replace("call:", "client alone: because\nemulator alone: because\ncall:")
            ),
            2,
            "no client",
        ),
    ] {
        let (line, said) = refusal(&text);
        assert!(line == at && said.contains(why), "{line}: {said}, not {at}: {why}\n{text}");
    }
}
