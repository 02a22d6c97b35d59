//! Path templates, such as `/drives/{UUID}/write[/{OFFSET}]`, and the arguments that fill them.
//!
//! A placeholder is in braces. An optional part is in brackets and may contain another. Arguments fill the
//! placeholders in order, and an optional part is included if there is an argument for it. The placeholder's
//! name determines the kind of its argument. Arguments are percent-encoded, so that none can address another
//! call.

use super::key::ValueKind;
use crate::wire::percent::encode;
use crate::{Error, Result};

/// Returns the kind of argument that a placeholder takes.
pub fn argument_kind(placeholder: &str) -> ValueKind {
    match placeholder {
        "UUID" | "SOURCE" => ValueKind::Uuid,
        "OFFSET" | "SIZE" => ValueKind::Size,
        "CONVERSION" => ValueKind::OneOf(&["gzip", "gunzip"]),
        "IP" => ValueKind::Address,
        _ => ValueKind::Text,
    }
}

/// Returns the value of a placeholder that takes no argument: the account's own name and the data format of
/// the reply.
fn given(placeholder: &str, format: &'static str) -> Option<&'static str> {
    match placeholder {
        "LOGIN" => Some("my"),
        "FORMAT" => Some(format),
        _ => None,
    }
}

/// A piece of a parsed template.
enum Piece<'t> {
    Literal(&'t str),
    Placeholder(&'t str),
    Open,
    Close,
}

fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '[', ']']) {
        let (literal, tail) = rest.split_at(at);
        if !literal.is_empty() {
            out.push(Piece::Literal(literal));
        }
        rest = match tail.as_bytes().first() {
            Some(b'[') => {
                out.push(Piece::Open);
                &tail[1..]
            }
            Some(b']') => {
                out.push(Piece::Close);
                &tail[1..]
            }
            _ => match tail[1..].split_once('}') {
                Some((name, after)) => {
                    out.push(Piece::Placeholder(name));
                    after
                }
                None => "",
            },
        };
    }
    if !rest.is_empty() {
        out.push(Piece::Literal(rest));
    }
    out
}

/// Returns the placeholders that take arguments, in order, each with whether it is required.
pub fn placeholders(template: &str) -> Vec<(&str, bool)> {
    let mut depth = 0_usize;
    let mut out = Vec::new();
    for piece in pieces(template) {
        match piece {
            Piece::Open => depth += 1,
            Piece::Close => depth = depth.saturating_sub(1),
            Piece::Placeholder(name) if given(name, "").is_none() => out.push((name, depth == 0)),
            Piece::Placeholder(_) | Piece::Literal(_) => {}
        }
    }
    out
}

/// Returns the path for these arguments. `call` names the call in errors, and `format` is the format of the
/// reply.
pub(super) fn fill(call: &str, template: &str, arguments: &[String], format: &'static str) -> Result<String> {
    let wanted = placeholders(template);
    if let Some(surplus) = arguments.get(wanted.len()) {
        let takes = match &wanted[..] {
            [] => "takes no path argument".to_owned(),
            _ => format!("takes {} and no more", usage(&wanted)),
        };
        return Err(Error::usage(format!("{call} {takes}, got `{surplus}`")));
    }
    let required: Vec<&str> =
        wanted.iter().filter(|(_, required)| *required).map(|(name, _)| *name).collect();
    if let Some(missing) = required.get(arguments.len()) {
        return Err(Error::usage(format!("{call} needs {missing}"))
            .hint(format!("its path arguments are {}", usage(&wanted))));
    }
    let mut spare = arguments.len() - required.len();
    let mut arguments = arguments.iter();
    let mut out = String::new();
    // Whether the part of each open bracket is included. Every part holds one placeholder of its own in all
    // templates.
    let mut open: Vec<bool> = Vec::new();
    for piece in pieces(template) {
        let shown = open.iter().all(|shown| *shown);
        match piece {
            Piece::Open => {
                let there = shown && spare > 0;
                spare -= usize::from(there);
                open.push(there);
            }
            Piece::Close => {
                open.pop();
            }
            Piece::Literal(text) if shown => out.push_str(text),
            Piece::Placeholder(name) if shown => match given(name, format) {
                Some(value) => out.push_str(value),
                None => {
                    if let Some(argument) = arguments.next() {
                        out.push_str(&encode(&value(name, argument)?));
                    }
                }
            },
            Piece::Literal(_) | Piece::Placeholder(_) => {}
        }
    }
    Ok(out)
}

fn value(name: &str, argument: &str) -> Result<String> {
    // Clients and servers remove dot segments from a path, whether or not they are encoded.
    if argument.is_empty() || argument == "." || argument == ".." {
        return Err(Error::usage(format!("{name} cannot be `{argument}`")));
    }
    argument_kind(name).check(name, argument, &mut Vec::new())
}

/// Formats the placeholders for messages, as in `UUID [OFFSET] [SIZE]`.
fn usage(wanted: &[(&str, bool)]) -> String {
    wanted
        .iter()
        .map(|(name, required)| if *required { (*name).to_owned() } else { format!("[{name}]") })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "08c92dd5-70a0-4f51-83d2-835919d254df";

    fn path(template: &str, arguments: &[&str]) -> Result<String> {
        fill("the.call", template, &arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(), "json")
    }

    #[test]
    fn optional_pieces_are_there_as_far_as_the_arguments_reach() {
        let read = "/drives/{UUID}/read[/{OFFSET}[/{SIZE}]]";
        assert_eq!(path(read, &[D]).unwrap(), format!("/drives/{D}/read"));
        assert_eq!(path(read, &[D, "4M"]).unwrap(), format!("/drives/{D}/read/4194304"));
        assert_eq!(path(read, &[D, "0", "512k"]).unwrap(), format!("/drives/{D}/read/0/524288"));
        let list = "/resources[/{TYPE}]/list";
        assert_eq!(path(list, &[]).unwrap(), "/resources/list");
        assert_eq!(path(list, &["ip"]).unwrap(), "/resources/ip/list");
        let image = "/drives/{UUID}/image/{SOURCE}[/{CONVERSION}]";
        assert_eq!(path(image, &[D, D, "gunzip"]).unwrap(), format!("/drives/{D}/image/{D}/gunzip"));
    }

    #[test]
    fn missing_and_left_over_arguments_are_named() {
        let read = "/drives/{UUID}/read/{OFFSET}/{SIZE}";
        let error = path(read, &[D, "0"]).unwrap_err();
        assert_eq!(error.to_string(), "the.call needs SIZE");
        assert_eq!(error.hint_text(), Some("its path arguments are UUID OFFSET SIZE"));
        assert_eq!(error.kind().exit_code(), 2);
        let error = path("/drives/{UUID}/write[/{OFFSET}]", &[D, "0", "x"]).unwrap_err();
        assert_eq!(error.to_string(), "the.call takes UUID [OFFSET] and no more, got `x`");
        let error = path("/drives/list", &["x"]).unwrap_err();
        assert_eq!(error.to_string(), "the.call takes no path argument, got `x`");
    }

    #[test]
    fn arguments_are_checked_and_cannot_leave_their_place() {
        let info = "/resources/{TYPE}/{RESOURCE}/info";
        assert_eq!(path(info, &["a/b?c#d %", "é"]).unwrap(), "/resources/a%2Fb%3Fc%23d%20%25/%C3%A9/info");
        for bad in ["", ".", ".."] {
            assert!(path(info, &["ip", bad]).is_err(), "{bad}");
        }
        assert!(path("/drives/{UUID}/info", &["list"]).is_err());
        assert!(path("/drives/{UUID}/write[/{OFFSET}]", &[D, "M"]).is_err());
        assert!(path("/resources/ip/{IP}/destroy", &["1.2.3"]).is_err());
        assert!(path("/drives/{UUID}/image/{SOURCE}[/{CONVERSION}]", &[D, D, "zip"]).is_err());
    }

    #[test]
    fn some_placeholders_fill_themselves() {
        assert_eq!(path("/{LOGIN}/keys/{KEY}", &["a"]).unwrap(), "/my/keys/a");
        assert_eq!(path("/instance/{KEY}.{FORMAT}", &["a"]).unwrap(), "/instance/a.json");
        assert_eq!(placeholders("/{LOGIN}/m/{UUID}[/{X}]?action=stop"), [("UUID", true), ("X", false)]);
    }

    #[test]
    fn a_broken_template_is_no_panic() {
        for template in ["/{A", "]]/a", "[[", "{}", "é{é}[é"] {
            let _ = path(template, &["a", "b"]);
        }
    }
}
