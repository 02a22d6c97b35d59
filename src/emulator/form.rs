//! Forms in parts (RFC 7578), for the providers whose clients send them.

/// The boundary that a `Content-Type` names (RFC 2046, section 5.1.1).
pub(super) fn boundary(kind: &str) -> Option<String> {
    parameter(kind, "boundary").filter(|boundary| !boundary.is_empty())
}

/// A parameter behind a header's first word, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The fields of a form in parts (RFC 7578): name and value of each; none if the body is malformed.
pub(super) fn parts(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let body = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    // What stands before the first delimiter is nobody's.
    let mut pieces = body.split(&*delimiter).skip(1);
    let mut fields = Vec::new();
    for piece in &mut pieces {
        if piece.starts_with("--") {
            return Some(fields);
        }
        let (head, value) = piece.split_once("\r\n\r\n")?;
        let disposition = head.lines().find(|line| {
            line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("content-disposition"))
        })?;
        fields.push((parameter(disposition, "name")?, value.strip_suffix("\r\n")?.to_owned()));
    }
    None
}
