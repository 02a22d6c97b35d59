//! Replies of an SSH agent over a socket.

use super::input::{Input, scratch, wait};
use diskferry::Kind;
use diskferry::auth::signature::agent::Agent;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// The input is a byte, the first reply after its length, and the second. Each is sent as it is, or framed as
/// an agent would frame it.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let len = input.number();
    let first = framed(flags & 1 == 0, input.bytes(len));
    let second = framed(flags & 2 == 0, input.rest());
    let path = scratch("agent");
    let _ = std::fs::remove_file(&path);
    wait(async {
        let listener = UnixListener::bind(&path).expect("a socket");
        let answers = [first.clone(), second.clone()];
        let agent = tokio::spawn(async move {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let len = stream.read_u32().await.expect("a question");
                assert!(len < 4096 + u32::from(u16::MAX), "a question of {len} bytes");
                let mut question = vec![0; len as usize];
                stream.read_exact(&mut question).await.expect("a whole question");
                // In two pieces, to a client that may have left.
                let (one, two) = answer.split_at(usize::from(flags >> 2).min(answer.len()));
                let _ = stream.write_all(one).await;
                let _ = stream.write_all(two).await;
            }
        });
        let asked = ask(&path, flags & 128 != 0, &second);
        tokio::time::timeout(Duration::from_mins(1), asked)
            .await
            .expect("an end of the stream ends the wait");
        agent.abort();
    });
}

async fn ask(path: &std::path::Path, named: bool, answer: &[u8]) {
    let agent = match Agent::find(path, named.then_some("laptop"), None).await {
        Ok(agent) => agent,
        Err(error) => return assert_eq!(error.kind(), Kind::Auth),
    };
    assert!(agent.public().blob.starts_with(b"\0\0\0\x07ssh-rsa"));
    match agent.sign(b"a date").await {
        // The signature was in the reply, after the name of the only algorithm that is requested.
        Ok(signature) => {
            let expected = [b"\0\0\0\x0crsa-sha2-256".as_slice(), &signature_field(&signature)].concat();
            assert!(answer.windows(expected.len()).any(|window| window == expected));
        }
        Err(error) => assert_eq!(error.kind(), Kind::Auth),
    }
}

fn signature_field(signature: &[u8]) -> Vec<u8> {
    let len = u32::try_from(signature.len()).expect("a short answer");
    [&len.to_be_bytes(), signature].concat()
}

fn framed(frame: bool, message: &[u8]) -> Vec<u8> {
    if frame { signature_field(message) } else { message.to_vec() }
}
