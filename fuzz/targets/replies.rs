//! Replies: the errors that they become, and what the calls of the catalogue read in them.

use super::input::{Input, has_control};
use diskferry::Kind;
use diskferry::provider::catalogue::{all, print_lines};
use diskferry::provider::{Provider, reply};
use std::time::Duration;

/// The secret in an object that a server sends back.
const SECRET: &str = "hunter2-hunter2";

/// The input is the call, the status, a header, a path, the request's id, the media type and the body.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (call, status) = (usize::from(input.byte()), u16::try_from(input.number()).unwrap_or_default());
    let (header, path, id, kind) = (input.line(), input.line(), input.line(), input.line());
    let body = input.rest();
    let provider = Provider::ALL[call % Provider::ALL.len()];
    refused(provider, status % 1000, [&header, &path, &id], &String::from_utf8_lossy(body));
    let calls: Vec<_> = all().collect();
    let output = calls[call % calls.len()].output;
    let kind = (!kind.is_empty()).then_some(&*kind);
    match output.parse(kind, body) {
        Ok(objects) => {
            let printed = print_lines(&objects);
            assert_eq!(printed.lines().count(), objects.len(), "an object a line");
            for line in printed.lines() {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object()));
            }
        }
        Err(error) => assert_eq!(error.kind(), Kind::Protocol),
    }
    match output.values(kind, body, |name| (name.len() % 2 == 0).then_some("value")) {
        Ok(values) => drop(serde_json::to_string(&values).expect("values are JSON")),
        Err(error) => assert_eq!(error.kind(), Kind::Protocol),
    }
}

/// An error is short, has no control characters, and shows no secret of an object that is sent back.
fn refused(provider: Provider, status: u16, [header, path, id]: [&str; 3], body: &str) {
    let body = if provider == Provider::CloudSigma {
        let (first, rest) = body.split_once('\n').unwrap_or((body, ""));
        format!("{first}\nsecret_key {SECRET}\nvnc:password {SECRET}\n{rest}")
    } else {
        body.to_owned()
    };
    let told = reply::Told {
        status,
        x_elastic_error: (!header.is_empty()).then_some(header),
        retry_after: (id.len() % 2 == 1).then_some(Duration::from_secs(1)),
        request_id: (!id.is_empty()).then_some(id),
        body: &body,
    };
    let error = reply::classify(provider, path, told);
    let said = error.server_message().expect("the status at least");
    assert!(said.starts_with(&status.to_string()), "{said:?}");
    assert!(said.chars().count() <= 1100, "{} characters", said.chars().count());
    assert!(!has_control(said) && !said.contains(SECRET), "{said:?}");
    assert!(!error.to_string().contains(SECRET));
    assert_eq!(error.retry_delay(), told.retry_after);
    let fields = reply::field_errors(&body);
    assert!(
        fields.iter().all(|f| !has_control(&f.key) && !has_control(&f.message) && !f.message.contains('\n'))
    );
}
