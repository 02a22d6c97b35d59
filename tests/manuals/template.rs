//! Text with placeholders: `{drive}` is a name that the file declares, `{uuid 08c9…}` a value of a kind with the manual's
//! sample.
//!
//! The client is given the samples. What the emulator answers is matched: a value has to be of its kind, and a name has to be
//! the same wherever it stands in an exchange.

use std::collections::HashMap;
use std::net::Ipv4Addr;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Uuid,
    Ip,
    Mac,
    Int,
    Decimal,
    /// `2010-03-08 21:15`, as CloudSigma prints times.
    Minute,
    /// `2010-03-08 21:15:18[.401708]`, as CloudSigma prints times too.
    Second,
    /// `2011-06-03T00:02:31+00:00`, as Joyent prints times.
    Time,
    Url,
    /// Words in base 64.
    Base64,
    /// A name for people, and not a code of two letters.
    Readable,
    /// Anything but nothing.
    Text,
    /// Anything.
    Any,
}

impl Kind {
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "uuid" => Kind::Uuid,
            "ip" => Kind::Ip,
            "mac" => Kind::Mac,
            "int" => Kind::Int,
            "decimal" => Kind::Decimal,
            "minute" => Kind::Minute,
            "second" => Kind::Second,
            "time" => Kind::Time,
            "url" => Kind::Url,
            "base64" => Kind::Base64,
            "readable" => Kind::Readable,
            "text" => Kind::Text,
            "any" => Kind::Any,
            _ => return None,
        })
    }

    fn admits(self, text: &str) -> bool {
        let shaped = |shape: &str| {
            text.len() == shape.len()
                && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    b'h' => byte.is_ascii_hexdigit(),
                    other => byte == other,
                })
        };
        match self {
            Kind::Uuid => shaped("hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"),
            Kind::Ip => text.parse::<Ipv4Addr>().is_ok(),
            Kind::Mac => shaped("hh:hh:hh:hh:hh:hh"),
            Kind::Int => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            Kind::Decimal => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
                Kind::Int.admits(whole) && Kind::Int.admits(part)
            }
            Kind::Minute => shaped("0000-00-00 00:00"),
            Kind::Second => {
                let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
                Kind::Int.admits(fraction)
                    && time.rsplit_once(':').is_some_and(|(minute, second)| {
                        Kind::Minute.admits(minute) && second.len() == 2 && Kind::Int.admits(second)
                    })
            }
            Kind::Time => shaped("0000-00-00T00:00:00+00:00") || shaped("0000-00-00T00:00:00Z"),
            Kind::Url => text.starts_with("http://") || text.starts_with("https://"),
            Kind::Base64 => {
                let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
                !text.is_empty() && text.bytes().all(letter)
            }
            Kind::Readable => text.chars().count() > 2,
            Kind::Text => !text.is_empty(),
            Kind::Any => true,
        }
    }
}

/// The names of a file: their kinds and samples, and the values that they have in the exchange under way.
#[derive(Clone, Debug, Default)]
pub struct Names {
    declared: HashMap<String, (Kind, String)>,
    bound: HashMap<String, String>,
}

impl Names {
    pub fn declare(&mut self, name: &str, kind: Kind, sample: &str) -> Result<(), String> {
        match self.declared.insert(name.to_owned(), (kind, sample.to_owned())) {
            None if Kind::parse(name).is_none() => Ok(()),
            _ => Err(format!("the name {name:?} stands twice, or is a kind")),
        }
    }

    /// The name has this value from here on.
    pub fn bind(&mut self, name: &str, value: &str) {
        self.bound.insert(name.to_owned(), value.to_owned());
    }
}

enum Piece<'t> {
    Literal(&'t str),
    Name(&'t str),
    Sample(Kind, &'t str),
}

/// Where a placeholder begins and ends; `{` before anything but a small letter is itself.
fn placeholder(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = text[from..].find('{').map(|at| at + from) {
        if text[at + 1..].starts_with(|c: char| c.is_ascii_lowercase())
            && let Some(end) = text[at..].find('}')
        {
            return Some((at, at + end));
        }
        from = at + 1;
    }
    None
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((start, end)) = placeholder(rest) {
        if start > 0 {
            pieces.push(Piece::Literal(&rest[..start]));
        }
        let inner = &rest[start + 1..end];
        pieces.push(match inner.split_once(' ') {
            None => Piece::Name(inner),
            Some((word, sample)) => {
                Piece::Sample(Kind::parse(word).ok_or_else(|| format!("there is no kind {word:?}"))?, sample)
            }
        });
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}

/// The words of a line; a placeholder is a part of one word.
pub fn words(line: &str) -> Vec<String> {
    let (first, rest) = first_word(line);
    let mut words = vec![first.to_owned()];
    if first.len() < line.len() {
        words.extend(self::words(rest));
    }
    words
}

/// The first word of a line, and what is behind the blank after it.
pub fn first_word(line: &str) -> (&str, &str) {
    let mut inside = false;
    for (at, letter) in line.char_indices() {
        inside = match letter {
            '{' => true,
            '}' => false,
            ' ' if !inside => return (&line[..at], &line[at + 1..]),
            _ => inside,
        };
    }
    (line, "")
}

/// Checks that all names are declared and all samples are of their kind.
pub fn check(text: &str, names: &Names) -> Result<(), String> {
    for piece in pieces(text)? {
        match piece {
            Piece::Name(name) if !names.declared.contains_key(name) => {
                return Err(format!("the name {name:?} is not declared"));
            }
            Piece::Sample(kind, sample) if !kind.admits(sample) => {
                return Err(format!("{sample:?} is not of the kind {kind:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text with the manual's samples.
pub fn sample(text: &str, names: &Names) -> String {
    fill(text, |name| names.declared[name].1.clone())
}

/// The text with what the names are bound to, or with their samples.
pub fn bound(text: &str, names: &Names) -> String {
    fill(text, |name| names.bound.get(name).unwrap_or_else(|| &names.declared[name].1).clone())
}

fn fill(text: &str, value: impl Fn(&str) -> String) -> String {
    let pieces = pieces(text).unwrap_or_else(|why| panic!("{why}: {text}"));
    let fill = |piece: Piece<'_>| match piece {
        Piece::Literal(text) => text.to_owned(),
        Piece::Name(name) => value(name),
        Piece::Sample(_, sample) => sample.to_owned(),
    };
    pieces.into_iter().map(fill).collect()
}

/// Whether `got` is what the template says. A name that has no value yet gets one.
pub fn matches(template: &str, got: &str, names: &mut Names) -> bool {
    let pieces = pieces(template).unwrap_or_else(|why| panic!("{why}: {template}"));
    let mut tried = names.clone();
    let fits = fits(&pieces, got, &mut tried);
    if fits {
        *names = tried;
    }
    fits
}

fn fits(pieces: &[Piece<'_>], got: &str, names: &mut Names) -> bool {
    match pieces {
        [] => got.is_empty(),
        [Piece::Literal(text), rest @ ..] => got.strip_prefix(text).is_some_and(|got| fits(rest, got, names)),
        [piece, rest @ ..] => {
            // The shortest value first that lets everything behind it fit.
            let ends = got.char_indices().map(|(at, _)| at).chain([got.len()]);
            for end in ends {
                let mut tried = names.clone();
                if takes(piece, &got[..end], &mut tried) && fits(rest, &got[end..], &mut tried) {
                    *names = tried;
                    return true;
                }
            }
            false
        }
    }
}

fn takes(piece: &Piece<'_>, value: &str, names: &mut Names) -> bool {
    match piece {
        Piece::Literal(text) => *text == value,
        Piece::Sample(kind, _) => kind.admits(value),
        Piece::Name(name) => {
            if let Some(bound) = names.bound.get(*name) {
                return bound == value;
            }
            let fits = names.declared[*name].0.admits(value);
            if fits {
                names.bind(name, value);
            }
            fits
        }
    }
}

#[test]
fn a_name_is_one_value_and_a_sample_any_of_its_kind() {
    let mut names = Names::default();
    names.declare("drive", Kind::Uuid, "08c92dd5-70a0-4f51-83d2-835919d254df").unwrap();
    let other = "18c92dd5-70a0-4f51-83d2-835919d254df";
    assert_eq!(sample("a {drive} {int 5}", &names), "a 08c92dd5-70a0-4f51-83d2-835919d254df 5");
    assert!(!matches("{drive}", "x", &mut names));
    assert!(matches("/{drive}/{text a}.json", &format!("/{other}/b.json"), &mut names));
    assert!(matches("{drive}", other, &mut names));
    assert!(!matches("{drive}", "28c92dd5-70a0-4f51-83d2-835919d254df", &mut names));
    assert_eq!(bound("{drive}", &names), other);
    assert!(!matches("{decimal 1.00}", "1.", &mut names) && matches("{decimal 1.00}", "-3", &mut names));
    assert!(!matches("{minute 2010-03-08 21:15}", "2010-03-08", &mut names));
    assert!(matches("{second 2010-03-08 21:15:18}", "2010-02-23 17:18:32.401708", &mut names));
    assert!(check("{nobody}", &names).is_err() && check("{ip 1.2.3}", &names).is_err());
    assert!(check("{\"a\":1}", &names).is_ok());
}
