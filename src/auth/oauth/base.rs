//! Builds the signature base string (RFC 5849, 3.4.1).

use crate::wire::percent::encode;
use reqwest::Url;

/// The parameters to sign, percent-encoded (RFC 5849, 3.4.1.3).
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Returns the parameters of a URL's query.
    pub(super) fn of_query(query: &[u8]) -> Self {
        let mut new = Self::default();
        new.add_form(query);
        new
    }

    /// Adds the parameters of an `application/x-www-form-urlencoded` body.
    pub(super) fn add_form(&mut self, form: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(form) {
            self.add(&name, &value);
        }
    }

    /// Adds a parameter.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.0.push((encode(name), encode(value)));
    }

    /// Returns the parameters sorted by encoded name and value, and joined (RFC 5849, 3.4.1.3.2).
    fn normalized(mut self) -> String {
        self.0.sort_unstable();
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

/// Returns the base string of a request (RFC 5849, 3.4.1.1). A [`Url`] has the host in lower case and omits a
/// default port, as RFC 5849, 3.4.1.2 requires.
pub(super) fn base_string(method: &str, url: &Url, parameters: Parameters) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let uri = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    format!("{}&{}&{}", method.to_ascii_uppercase(), encode(&uri), encode(&parameters.normalized()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 5849, 3.4.1.1 and 3.4.1.3, which covers every special case.
    #[test]
    fn the_rfcs_request_has_the_rfcs_base_string() {
        let url: Url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b".parse().unwrap();
        let mut parameters = Parameters::of_query(url.query().unwrap().as_bytes());
        parameters.add_form(b"c2&a3=2+q");
        for (name, value) in [
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
        ] {
            parameters.add(name, value);
        }
        assert_eq!(
            base_string("post", &url, parameters),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c\
             %2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_m\
             ethod%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    #[test]
    fn only_the_unreserved_stay_as_they_are() {
        assert_eq!(encode("aZ09-._~"), "aZ09-._~");
        assert_eq!(encode("a b+c*%é"), "a%20b%2Bc%2A%25%C3%A9");
    }
}
