//! The shared access signature: the credential of a container or a blob.

use crate::error::{Error, Result};
use crate::provider::catalogue::secret::{HIDDEN, Redactor};
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::form_urlencoded;

/// The longest token that is accepted. Azure's own have up to about 600 characters.
const LONGEST: usize = 8 << 10;

/// A SAS token (Azure Storage REST reference, `Delegate access with a shared access signature`). Clones share
/// it.
#[derive(Clone)]
pub struct SasToken {
    query: SecretString,
    /// The start of its validity (`st`).
    start: Option<SystemTime>,
    /// The end of its validity (`se`). A token that refers to a stored access policy (`si`) may have none.
    expiry: Option<SystemTime>,
    /// The permissions (`sp`).
    permissions: Option<String>,
    /// Whether it is valid for a single blob only (`sr`).
    for_one_blob: bool,
    redactor: Redactor,
}

impl SasToken {
    /// Parses a token: the query string of a SAS URL, with or without its `?`. Errors do not contain any of
    /// it.
    pub fn parse(text: &str) -> Result<Self> {
        const FORM: &str =
            "a token looks like `sv=…&se=…&sp=…&sig=…`: it is what follows the `?` of a SAS URL";
        let text = text.trim();
        if text.contains("://") {
            return Err(Error::usage("the SAS token is a whole URL").hint(
                "set the remote's url to the part before the `?`, and its secret to the part after it",
            ));
        }
        let text = text.strip_prefix('?').unwrap_or(text);
        if text.is_empty() || text.len() > LONGEST {
            return Err(Error::usage("the SAS token is empty or too long").hint(FORM));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(Error::usage("the SAS token contains invalid characters").hint(FORM));
        }
        // No value of a token contains a space, so a plus sign is literal: the signature was not
        // percent-encoded.
        let query = text.replace('+', "%2B");
        let redactor = Redactor::default();
        let (mut start, mut expiry, mut permissions, mut signed) = (None, None, None, false);
        let mut for_one_blob = false;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sig" if !value.is_empty() => {
                    signed = true;
                    redactor.hide(&value);
                }
                "st" => start = parse_time(&value),
                "se" => expiry = parse_time(&value),
                "sp" => permissions = Some(value.into_owned()),
                // A blob, a version of one, or a snapshot of one (`Create a service SAS`, `Specify the signed
                // resource`).
                "sr" => for_one_blob = matches!(&*value, "b" | "bv" | "bs"),
                _ => {}
            }
        }
        if !signed {
            return Err(Error::usage("the SAS token has no signature").hint(FORM));
        }
        redactor.hide(&query);
        redactor.hide(text);
        for raw in text.split('&').chain(query.split('&')).filter_map(|pair| pair.strip_prefix("sig=")) {
            redactor.hide(raw);
        }
        Ok(Self { query: query.into(), start, expiry, permissions, for_one_blob, redactor })
    }

    /// Returns the query string without `?`.
    pub(super) fn query(&self) -> &str {
        self.query.expose_secret()
    }

    /// Removes the signature from a text.
    pub(super) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    /// Returns the permissions (`sp`).
    pub(super) fn permissions(&self) -> Option<&str> {
        self.permissions.as_deref()
    }

    /// Returns whether the token is valid for a single blob only, as that of a managed disk is.
    pub fn is_for_one_blob(&self) -> bool {
        self.for_one_blob
    }

    /// Returns whether the token expired before `now`.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.expiry.is_some_and(|expiry| expiry < now)
    }

    /// Returns whether the token becomes valid only after `now`.
    pub fn is_early(&self, now: SystemTime) -> bool {
        self.start.is_some_and(|start| start > now)
    }

    /// Returns the end of the token's validity, if it has one.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }
}

/// Omits the token.
impl std::fmt::Debug for SasToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SasToken({HIDDEN})")
    }
}

/// Parses a UTC time in one of the forms of a token: `YYYY-MM-DD`, `YYYY-MM-DDThh:mmZ`,
/// `YYYY-MM-DDThh:mm:ssZ`, the last also with a fraction (`Formatting date-time values`). Returns `None` for
/// anything else and for times before 1970.
fn parse_time(text: &str) -> Option<SystemTime> {
    /// The days from 1 March of the year 0 to 1970.
    const EPOCH: u64 = 719_468;
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (text, "00:00"),
    };
    let number = |text: &str, digits: usize| -> Option<u64> {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let time = time.split_once('.').map_or(time, |(seconds, _)| seconds);
    let mut clock = time.split(':');
    let (hour, minute) = (number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let second = clock.next().map_or(Some(0), |second| number(second, 2))?;
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range || parts.next().is_some() || clock.next().is_some() || year < 1970 {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + (day - 1);
    let seconds = days.checked_sub(EPOCH)? * 86_400 + hour * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Option<u64> {
        Some(parse_time(text)?.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn times_are_read_in_every_form_of_a_token() {
        assert_eq!(unix("1970-01-01"), Some(0));
        assert_eq!(unix("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(unix("2026-11-28T10:02Z"), Some(1_795_860_120));
        assert_eq!(unix("2026-11-28T10:02:07.1234567Z"), Some(1_795_860_127));
        for bad in [
            "",
            "2026",
            "2026-13-01",
            "2026-11-28T10:02",
            "1969-12-31",
            "2026-11-28T10:02:07:01Z",
            "+026-11-28",
        ] {
            assert_eq!(unix(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_read_and_never_shown() {
        let sas =
            SasToken::parse(" ?sv=2020-12-06&se=2026-11-28T10%3A02%3A00Z&sp=rw&sig=ab+/c%3D\n").unwrap();
        assert_eq!(sas.query(), "sv=2020-12-06&se=2026-11-28T10%3A02%3A00Z&sp=rw&sig=ab%2B/c%3D");
        assert!(sas.permissions() == Some("rw") && !sas.is_for_one_blob());
        for (resource, alone) in [("b", true), ("bs", true), ("c", false), ("d", false)] {
            let sas = SasToken::parse(&format!("sr={resource}&sig=x")).unwrap();
            assert_eq!(sas.is_for_one_blob(), alone, "{resource}");
        }
        let expiry = sas.expiry().unwrap();
        assert!(
            !sas.has_expired(expiry)
                && sas.has_expired(expiry + Duration::from_secs(1))
                && !sas.is_early(expiry)
        );
        assert_eq!(format!("{sas:?}"), "SasToken((hidden))");
        for form in ["ab+/c=", "ab%2B/c%3D", "ab%2B%2Fc%3D", "ab+/c%3D", sas.query()] {
            let said = sas.redact(&format!("the signature {form} is wrong"));
            assert_eq!(said, format!("the signature {HIDDEN} is wrong"), "{form}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        let long = format!("sig={}", "x".repeat(LONGEST));
        for bad in
            ["", "?", "hunter2", "sig=", "sig=hunter2 x", "https://h/c?sig=hunter2", "sig=hunter2#", &long]
        {
            let error = SasToken::parse(bad).unwrap_err();
            assert!(!format!("{error:?} {:?}", error.hint_text()).contains("hunter2"), "{error}");
        }
    }
}
