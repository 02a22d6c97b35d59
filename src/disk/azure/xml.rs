//! A streaming parser for Azure's XML replies: flat lists and errors.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The deepest nesting that is accepted: twice that of any reply.
const DEEPEST: usize = 12;

/// Calls `ended` for each element at its end, with its path (`PageList/PageRange/Start`) and text. Returns
/// the reason if the document is malformed or truncated.
pub(super) fn walk(
    text: &str,
    mut ended: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    // Azure puts a byte order mark before its XML.
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    let mut path = String::new();
    // The start of each open element's name in `path`, and its text so far.
    let mut open: Vec<(usize, String)> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|e| e.to_string())?;
        let piece = match event {
            Event::Start(start) => {
                if open.len() == DEEPEST {
                    return Err("it is nested too deeply".to_owned());
                }
                open.push((path.len(), String::new()));
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(&String::from_utf8_lossy(start.local_name().as_ref()));
                continue;
            }
            Event::End(_) => {
                // The reader checks that the names match.
                let Some((before, text)) = open.pop() else {
                    return Err("an end tag has no start tag".to_owned());
                };
                ended(&path, &text)?;
                path.truncate(before);
                if open.is_empty() {
                    return Ok(());
                }
                continue;
            }
            Event::Text(piece) => piece.decode().map_err(|e| e.to_string())?.into_owned(),
            Event::CData(piece) => piece.decode().map_err(|e| e.to_string())?.into_owned(),
            Event::GeneralRef(entity) => {
                if let Some(c) = entity.resolve_char_ref().map_err(|e| e.to_string())? {
                    c.to_string()
                } else {
                    let name = entity.decode().map_err(|e| e.to_string())?;
                    let known = resolve_predefined_entity(&name);
                    known.ok_or_else(|| format!("the entity &{name}; is unknown"))?.to_owned()
                }
            }
            Event::Eof => return Err("it ends early".to_owned()),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                continue;
            }
        };
        if let Some((_, text)) = open.last_mut() {
            text.push_str(&piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut all = Vec::new();
        walk(text, |path, text| {
            all.push((path.to_owned(), text.to_owned()));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn elements_come_with_their_path_and_text() {
        let text =
            "\u{feff}<?xml version=\"1.0\"?><A x=\"1\"> <B>a&amp;b&#x21;</B><C/><B><![CDATA[<d>]]></B></A>";
        let pair = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let all = [pair("A/B", "a&b!"), pair("A/C", ""), pair("A/B", "<d>"), pair("A", " ")];
        assert_eq!(seen(text).unwrap(), all);
    }

    #[test]
    fn what_is_cut_nested_or_made_up_is_an_error() {
        let deep = "<A>".repeat(DEEPEST + 1) + &"</A>".repeat(DEEPEST + 1);
        for bad in ["", "<A><B>1</B>", "<A></B>", "<A>&lol;</A>", "plain", &deep] {
            assert!(seen(bad).is_err(), "{bad}");
        }
    }
}
