//! Signs with a key in an SSH agent, by the two messages of its protocol that are needed (OpenSSH's
//! PROTOCOL.agent, and the IETF's draft of it).

use super::public::{PublicKey, is_rsa, put, take};
use crate::error::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;

/// Requests RSA with SHA-256; without this flag an agent signs with SHA-1.
const RSA_SHA2_256: u32 = 2;

/// How long to wait for an agent, which may have to ask its user.
const DEADLINE: Duration = Duration::from_mins(2);

/// The longest message in bytes: that of an agent with some hundred keys.
const LONGEST: u32 = 1 << 20;

/// A key in an agent.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
    key: PublicKey,
}

impl Agent {
    /// Finds a key: the one that `wanted` names by fingerprint or comment, or the one that equals `public`.
    /// If neither is given, there must be a single RSA key.
    pub async fn find(socket: &Path, wanted: Option<&str>, public: Option<&PublicKey>) -> Result<Self> {
        let keys = identities(socket).await?;
        let fits = |key: &&PublicKey| match public {
            Some(public) => key.blob == public.blob,
            None => wanted.is_some_and(|name| key.is(name)),
        };
        let chosen = match (keys.iter().find(fits), keys.as_slice()) {
            (Some(key), _) => key,
            // The name of a key on the account need not be known to the agent.
            (None, [only]) if public.is_none() => only,
            (None, []) => {
                return Err(
                    Error::new(Kind::Auth, "the SSH agent holds no RSA key").hint("add one with `ssh-add`")
                );
            }
            (None, several) => {
                let list: Vec<String> =
                    several.iter().map(|key| format!("{} ({})", key.md5(), key.comment)).collect();
                return Err(Error::new(Kind::Auth, "cannot choose between the keys of the SSH agent")
                    .hint(format!("set `key_id` to one of these fingerprints: {}", list.join(", "))));
            }
        };
        Ok(Self { socket: socket.to_owned(), key: chosen.clone() })
    }

    /// Returns the public key.
    pub fn public(&self) -> &PublicKey {
        &self.key
    }

    /// Signs data with the agent.
    pub async fn sign(&self, data: &[u8]) -> Result<Vec<u8>> {
        let mut message = vec![SIGN_REQUEST];
        put(&mut message, &self.key.blob);
        put(&mut message, data);
        message.extend(RSA_SHA2_256.to_be_bytes());
        let reply = ask(&self.socket, &message).await?;
        let refused = || {
            Error::new(Kind::Auth, format!("the SSH agent refused to sign with {}", self.key.md5()))
                .hint("the agent may be locked, or its user may have refused")
        };
        let (kind, mut rest) = reply.split_first().ok_or_else(refused)?;
        if *kind != SIGNATURE {
            return Err(refused());
        }
        let mut blob = take(&mut rest).ok_or_else(garbled)?;
        let algorithm = take(&mut blob).ok_or_else(garbled)?;
        if algorithm != b"rsa-sha2-256" {
            return Err(Error::new(
                Kind::Auth,
                format!(
                    "the SSH agent signed with {}, expected rsa-sha2-256",
                    String::from_utf8_lossy(algorithm)
                ),
            )
            .hint("the agent is too old; set `identity` to the file of the key instead"));
        }
        Ok(take(&mut blob).ok_or_else(garbled)?.to_vec())
    }
}

fn garbled() -> Error {
    Error::new(Kind::Auth, "the SSH agent's reply is invalid")
}

/// Returns the RSA keys of an agent.
async fn identities(socket: &Path) -> Result<Vec<PublicKey>> {
    let reply = ask(socket, &[REQUEST_IDENTITIES]).await?;
    let (kind, rest) = reply.split_first().ok_or_else(garbled)?;
    if *kind != IDENTITIES {
        return Err(
            Error::new(Kind::Auth, "the SSH agent did not list its keys").hint("the agent may be locked")
        );
    }
    let (count, mut rest) = rest.split_first_chunk().ok_or_else(garbled)?;
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let blob = take(&mut rest).ok_or_else(garbled)?.to_vec();
        let comment = String::from_utf8_lossy(take(&mut rest).ok_or_else(garbled)?).into_owned();
        if is_rsa(&blob) {
            keys.push(PublicKey { blob, comment });
        }
    }
    Ok(keys)
}

/// Sends a message and reads the reply.
async fn ask(socket: &Path, message: &[u8]) -> Result<Vec<u8>> {
    let failed = |e| {
        Error::new(Kind::Auth, format!("cannot connect to the SSH agent at {}", socket.display()))
            .source(e)
            .hint("start an agent and set SSH_AUTH_SOCK, or set `identity` to the file of the key")
    };
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        let mut framed = Vec::new();
        put(&mut framed, message);
        stream.write_all(&framed).await?;
        let len = stream.read_u32().await?;
        if len > LONGEST {
            return Err(std::io::Error::other("its reply is larger than the 1 MiB limit"));
        }
        let mut reply = vec![0; len as usize];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    };
    match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(reply) => reply.map_err(failed),
        Err(_) => Err(Error::new(Kind::Auth, format!("the SSH agent did not reply within {DEADLINE:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    fn key(name: &str, comment: &str) -> PublicKey {
        PublicKey { comment: comment.into(), ..PublicKey::of_numbers(name.as_bytes(), &[1, 0, 1]) }
    }

    /// An agent with these keys that answers sign requests with `signed`.
    fn agent(keys: Vec<PublicKey>, signed: Vec<u8>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let len = stream.read_u32().await.unwrap();
                let mut message = vec![0; len as usize];
                stream.read_exact(&mut message).await.unwrap();
                let reply = if message[0] == REQUEST_IDENTITIES {
                    let mut reply = vec![IDENTITIES];
                    reply.extend(u32::try_from(keys.len() + 1).unwrap().to_be_bytes());
                    // A key of another kind, which is skipped.
                    put(&mut reply, b"\0\0\0\x0bssh-ed25519");
                    put(&mut reply, b"other");
                    for key in &keys {
                        put(&mut reply, &key.blob);
                        put(&mut reply, key.comment.as_bytes());
                    }
                    reply
                } else {
                    assert!(message.ends_with(&RSA_SHA2_256.to_be_bytes()));
                    signed.clone()
                };
                let mut framed = Vec::new();
                put(&mut framed, &reply);
                stream.write_all(&framed).await.unwrap();
            }
        });
        (dir, path)
    }

    #[tokio::test]
    async fn a_key_is_chosen_by_what_names_it() {
        let (one, two) = (key("one", "laptop"), key("two", "desk"));
        let (_dir, path) = agent(vec![one.clone(), two.clone()], Vec::new());
        let find = async |wanted: Option<&str>, public: Option<&PublicKey>| {
            Agent::find(&path, wanted, public).await.map(|agent| agent.key.comment)
        };
        assert_eq!(find(Some(&two.md5()), None).await.unwrap(), "desk");
        assert_eq!(find(Some(&one.sha256()), None).await.unwrap(), "laptop");
        assert_eq!(find(Some("desk"), None).await.unwrap(), "desk");
        assert_eq!(find(None, Some(&one)).await.unwrap(), "laptop");
        let unclear = find(Some("elsewhere"), None).await.unwrap_err();
        assert!(unclear.hint_text().unwrap().contains(&one.md5()), "{unclear}");
        let (_dir, path) = agent(vec![one], Vec::new());
        assert_eq!(Agent::find(&path, Some("elsewhere"), None).await.unwrap().key.comment, "laptop");
        let (_dir, path) = agent(Vec::new(), Vec::new());
        assert!(Agent::find(&path, None, None).await.unwrap_err().to_string().contains("no RSA key"));
        let absent = Agent::find(Path::new("/nowhere"), None, None).await.unwrap_err();
        assert!(absent.kind() == Kind::Auth && absent.to_string().contains("/nowhere"), "{absent}");
    }

    #[tokio::test]
    async fn only_the_right_kind_of_signature_is_taken() {
        let signed = |algorithm: &[u8]| {
            let (mut blob, mut reply) = (Vec::new(), vec![SIGNATURE]);
            put(&mut blob, algorithm);
            put(&mut blob, b"the signature");
            put(&mut reply, &blob);
            reply
        };
        for (reply, says) in [
            (signed(b"rsa-sha2-256"), ""),
            (signed(b"ssh-rsa"), "ssh-rsa"),
            (vec![5], "refused to sign"),
            (vec![SIGNATURE, 0], "is invalid"),
        ] {
            let (_dir, path) = agent(vec![key("one", "")], reply);
            let agent = Agent::find(&path, None, None).await.unwrap();
            match agent.sign(b"date").await {
                Ok(signature) => assert!(says.is_empty() && signature == b"the signature"),
                Err(error) => assert!(!says.is_empty() && error.to_string().contains(says), "{error}"),
            }
        }
    }
}
