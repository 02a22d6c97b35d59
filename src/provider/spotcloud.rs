//! The calls of SpotCloud (SpotCloud Buyer API 1.2). `{FORMAT}` is `json` or `xml`.

use super::Provider;
use super::catalogue::{Argument, Call, Input, Key, Output, Poll, Repeat, Shape, ValueKind};
use std::time::Duration;

const fn get(id: &'static str, path: &'static str) -> Call {
    Call::get(Provider::SpotCloud, id, path).returns(Output::OBJECT)
}

const fn delete(id: &'static str, path: &'static str) -> Call {
    // SpotCloud never reuses a key, so repeating a delete cannot hit another object.
    Call::delete(Provider::SpotCloud, id, path)
}

const FORM: Output = Output(&[Shape::Form]);
const PAGE: Output = Output(&[Shape::Page]);

/// The keys of a machine's location.
const PLACE: [Key; 3] = [
    Key::optional("continent", ValueKind::Text).note("a code, as NA"),
    Key::optional("country", ValueKind::Text).note("a code, as CA"),
    Key::optional("city", ValueKind::Text),
];
const MIN_CPU: Key = Key::optional("min_cpu", ValueKind::Integer);
const MIN_MEMORY: Key = Key::optional("min_memory", ValueKind::Size);
const MAX_COST: Key = Key::optional("max_cost", ValueKind::Decimal).note("USD an hour");

/// Polls a new instance until it runs (2.2). Before that it is `pending`.
const RUNNING: Poll = Poll::new("starting", "instance", "instances.get", "state", &["running"])
    .of(&[Argument::Reply("key")])
    .deadline(Duration::from_hours(1));

const STATES: &[&str] = &["running", "pending"];

/// The secret key that the two calls for tokens return (section 1). The token itself is secret by its name.
pub(super) const ANSWERED: &[Key] = &[Key::optional("oauth_token_secret", ValueKind::Text).secret()];

pub(super) const CALLS: &[Call] = &[
    get("oauth.request_token", "/_ah/OAuthGetRequestToken")
        .returns(FORM)
        .repeat(Repeat::Never)
        .section("1")
        .note("`diskferry remote login` makes this call"),
    get("oauth.authorize", "/_ah/OAuthAuthorizeToken?oauth_token={TOKEN}")
        .returns(PAGE)
        .repeat(Repeat::Never)
        .section("1")
        .note("a page for the user's browser"),
    get("oauth.access_token", "/_ah/OAuthGetAccessToken")
        .returns(FORM)
        .repeat(Repeat::Never)
        .section("1")
        .note("`diskferry remote login` makes this call"),
    get("instances.list", "/api/v1/buyer/instances/list.{FORMAT}")
        .takes(Input::Query(&[
            Key::optional("state", ValueKind::Usually(STATES)),
            Key::optional("appliance", ValueKind::Text).note("a key"),
            Key::optional("provider", ValueKind::Text).note("a key"),
        ]))
        .returns(Output::ARRAY)
        .section("2.1"),
    get("instances.get", "/api/v1/buyer/instance/{KEY}.{FORMAT}")
        .section("2.2")
        .note("has no deadline until it runs"),
    Call::post(Provider::SpotCloud, "instances.create", "/api/v1/buyer/instances/list.{FORMAT}")
        .takes(Input::Form(&[
            Key::required("appliance", ValueKind::Key("appliance list REMOTE:")),
            Key::required("hardware", ValueKind::Key("hardware list REMOTE:")),
            Key::required("provider", ValueKind::Key("call REMOTE: providers.list")),
        ]))
        .returns(Output::OBJECT)
        .success(&[201])
        .polled(RUNNING)
        .section("2.3")
        .note("answers 401 also where the funds do not suffice"),
    delete("instances.delete", "/api/v1/buyer/instance/{KEY}").section("2.4"),
    get("appliances.list", "/api/v1/buyer/appliances/list.{FORMAT}").returns(Output::ARRAY).section("3.1"),
    get("appliances.public_list", "/api/v1/buyer/appliances/public.{FORMAT}")
        .returns(Output::ARRAY)
        .section("3.2"),
    get("appliances.get", "/api/v1/buyer/appliance/{KEY}.{FORMAT}").section("3.3"),
    Call::put(Provider::SpotCloud, "appliances.update", "/api/v1/buyer/appliance/{KEY}.{FORMAT}")
        .takes(Input::Form(&[Key::required("name", ValueKind::Text)]))
        .returns(Output::OBJECT)
        .section("3.4"),
    get("appliances.download", "/api/v1/download/appliance/{KEY}")
        .returns(Output::BINARY)
        .section("3.5")
        .note("`diskferry download REMOTE:appliance/KEY` does this for appliances of any size"),
    delete("appliances.delete", "/api/v1/buyer/appliance/{KEY}")
        .section("3.6")
        .note("answers 401 also where it is in use"),
    get("providers.list", "/api/v1/buyer/providers/list.{FORMAT}")
        .takes(Input::Query(&[PLACE[0], PLACE[1], PLACE[2], MIN_CPU, MIN_MEMORY, MAX_COST]))
        .returns(Output::ARRAY)
        .section("4.1")
        .note("deprecated since 1.2 in favour of hardware.list"),
    get("providers.get", "/api/v1/buyer/provider/{KEY}.{FORMAT}")
        .section("4.2")
        .note("deprecated since 1.2 in favour of hardware.get"),
    get("hardware.list", "/api/v1/buyer/hardware/list.{FORMAT}")
        .takes(Input::Query(&[
            PLACE[0],
            PLACE[1],
            PLACE[2],
            MIN_CPU,
            Key::optional("max_cpu", ValueKind::Integer),
            MIN_MEMORY,
            Key::optional("max_memory", ValueKind::Size),
            MAX_COST,
        ]))
        .returns(Output::ARRAY)
        .section("5.1")
        .note("memory in bytes, cost in USD an hour"),
    get("hardware.get", "/api/v1/buyer/hardware/{KEY}.{FORMAT}").section("5.2"),
];
