//! SpotCloud Buyer API 1.2. `$P` is an appliance of the account's own, `$Q` an instance, `$B` an appliance that may go.

use super::{Out, Row, row};

const INSTANCE: &[&str] = &[
    "id",
    "key",
    "ip",
    "uri",
    "state",
    "deadline",
    "cpu",
    "memory",
    "cost",
    "provider_key",
    "appliance_key",
    "hardware_key",
    "provider_uri",
    "appliance_uri",
    "hardware_uri",
];
const APPLIANCE: &[&str] = &["key", "name", "size", "uri", "download_uri", "logo_uri", "logo_key"];
const PROVIDER: &[&str] =
    &["id", "key", "continent", "country", "city", "rating", "min_cost", "max_cost", "uri"];
const HARDWARE: &[&str] =
    &["key", "name", "cost", "cpu", "memory", "max_hours", "continent", "country", "city", "uri"];

pub fn rows() -> impl Iterator<Item = Row> {
    [
        row("oauth.request_token", &[], "GET /_ah/OAuthGetRequestToken", "", Out::Refused(401)),
        row(
            "oauth.authorize",
            &["nosuch"],
            "GET /_ah/OAuthAuthorizeToken?oauth_token=nosuch",
            "",
            Out::Refused(400),
        ),
        row("oauth.access_token", &[], "GET /_ah/OAuthGetAccessToken", "", Out::Refused(401)),
        row(
            "instances.list",
            &["appliance=$P", "provider=p-tor1"],
            "GET /api/v1/buyer/instances/list.json?appliance=$P&provider=p-tor1",
            "",
            Out::Many(INSTANCE),
        ),
        row("instances.get", &["$Q"], "GET /api/v1/buyer/instance/$Q.json", "", Out::One(INSTANCE)),
        row(
            "instances.create",
            &["appliance=$P", "hardware=h-tor1-s", "provider=p-tor1"],
            "POST /api/v1/buyer/instances/list.json",
            "appliance=$P&hardware=h-tor1-s&provider=p-tor1",
            Out::One(INSTANCE),
        ),
        row("instances.delete", &["$Q"], "DELETE /api/v1/buyer/instance/$Q", "", Out::None),
        row("appliances.list", &[], "GET /api/v1/buyer/appliances/list.json", "", Out::Many(APPLIANCE)),
        row(
            "appliances.public_list",
            &[],
            "GET /api/v1/buyer/appliances/public.json",
            "",
            Out::Many(APPLIANCE),
        ),
        row("appliances.get", &["$P"], "GET /api/v1/buyer/appliance/$P.json", "", Out::One(APPLIANCE)),
        row(
            "appliances.update",
            &["$P", "name=A & B"],
            "PUT /api/v1/buyer/appliance/$P.json",
            "name=A%20%26%20B",
            Out::One(APPLIANCE),
        ),
        row("appliances.download", &["$P"], "GET /api/v1/download/appliance/$P", "", Out::Bytes(9)),
        row("appliances.delete", &["$B"], "DELETE /api/v1/buyer/appliance/$B", "", Out::None),
        row(
            "providers.list",
            &["country=CA", "min_cpu=2", "max_cost=0.5"],
            "GET /api/v1/buyer/providers/list.json?country=CA&min_cpu=2&max_cost=0.5",
            "",
            Out::Many(PROVIDER),
        ),
        row("providers.get", &["p-tor1"], "GET /api/v1/buyer/provider/p-tor1.json", "", Out::One(PROVIDER)),
        row(
            "hardware.list",
            &["min_memory=1G", "max_cpu=4"],
            "GET /api/v1/buyer/hardware/list.json?min_memory=1073741824&max_cpu=4",
            "",
            Out::Many(HARDWARE),
        ),
        row(
            "hardware.get",
            &["h-tor1-s"],
            "GET /api/v1/buyer/hardware/h-tor1-s.json",
            "",
            Out::One(HARDWARE),
        ),
    ]
    .into_iter()
}
