//! The text and the JSON of the elastic family, the XML of SpotCloud, and sizes.

use super::input::Input;
use diskferry::wire::elastic::{Properties, json, parse_size, text};
use diskferry::wire::spotcloud;

const COLUMNS: [&str; 3] = ["type", "name", "size"];

/// The first byte is the format; the rest is the text of a reply.
pub fn run(data: &[u8]) {
    // Only one input of this kind, in the corpus: it takes long, and a fuzzer would keep to it.
    if data == b"\xffmany" {
        return many("many");
    }
    let mut input = Input::new(data);
    match input.byte() % 5 {
        0 => plain(&String::from_utf8_lossy(input.rest())),
        1 => object(input.rest()),
        2 => xml(&String::from_utf8_lossy(input.rest())),
        3 => size(&String::from_utf8_lossy(input.rest())),
        _ => printed(input),
    }
}

/// No key is invented, and what can be printed is restored as it was.
fn plain(text: &str) {
    let objects = text::parse(text);
    let lines = text.split('\n').count();
    assert!(objects.iter().map(Properties::len).sum::<usize>() <= lines, "more keys than lines");
    assert!(objects.iter().all(|object| !object.is_empty()), "an object without a key");
    if objects.iter().all(is_printable) {
        assert_eq!(text::parse(&text::print(&objects)), objects);
    }
    let rows = text::parse_list(text, &COLUMNS);
    assert!(rows.len() <= lines && rows.iter().all(|row| !row.is_empty() && row.len() <= COLUMNS.len()));
    // A second byte order mark at the start is a word's first character.
    if rows.iter().all(|row| row.len() == COLUMNS.len()) && !text.contains('\u{feff}') {
        let line = |row: &Properties| row.iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ") + "\n";
        assert_eq!(text::parse_list(&rows.iter().map(line).collect::<String>(), &COLUMNS), rows);
    }
}

fn is_printable(object: &Properties) -> bool {
    object.iter().all(|(key, value)| text::is_key(key) && text::carries(value))
}

/// Whatever is read prints as JSON that says the same.
fn object(bytes: &[u8]) {
    for objects in [json::parse(bytes), json::parse_list(bytes, &COLUMNS)].into_iter().flatten() {
        let printed = json::print_array(&objects);
        assert_eq!(json::parse(printed.as_bytes()).as_ref(), Ok(&objects));
        let value: serde_json::Value = serde_json::from_str(&printed).expect("what was printed is JSON");
        assert_eq!(value, objects.iter().map(json::value).collect::<serde_json::Value>());
    }
}

/// A value is no larger than the text it was read from, except for the escapes of JSON.
fn xml(text: &str) {
    if let Ok(value) = spotcloud::parse(text) {
        let printed = value.to_string();
        assert!(printed.len() <= 16 + 8 * text.len(), "{} bytes of {}", printed.len(), text.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("at most 32 deep"), value);
    }
}

/// A size is what its digits and its letter say.
fn size(text: &str) {
    if let Some(size) = parse_size(text) {
        assert_eq!(parse_size(&size.to_string()), Some(size));
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().expect("a size begins with digits");
        assert!(size == 0 || size.is_multiple_of(number) && (size / number).is_power_of_two());
    }
}

/// Reads as many keys as a hostile reply may have, each with the input in it: the time must not grow with
/// their square.
fn many(text: &str) {
    const KEYS: usize = 50_000;
    let key: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(8).collect();
    let lines: Vec<String> = (0..KEYS).map(|i| format!("{i}{key} v")).collect();
    let plain = lines.join("\n");
    let objects = text::parse(&plain);
    assert_eq!(objects.iter().map(Properties::len).sum::<usize>(), KEYS);
    let printed = json::print_array(&objects);
    assert_eq!(json::parse(printed.as_bytes()), Ok(objects));
}

/// Builds objects from the input, prints them and reads them again.
fn printed(mut input: Input<'_>) {
    let mut objects = vec![Properties::new()];
    while !input.is_empty() {
        let line = input.line();
        match (line.split_once(' '), objects.last_mut()) {
            (Some((key, value)), Some(last)) if text::is_key(key) && text::carries(value) => {
                last.set(key, value.replace('\u{1}', "\n"));
            }
            _ => objects.push(Properties::new()),
        }
    }
    objects.retain(|object| !object.is_empty() && is_printable(object));
    assert_eq!(text::parse(&text::print(&objects)), objects);
    assert_eq!(json::parse(json::print_array(&objects).as_bytes()), Ok(objects));
}
