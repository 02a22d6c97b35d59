//! What only page blobs have: tokens that expire, writes of bounded length, others who write.

use crate::azurite::{Azurite, CONTAINER, account_sas, blob_sas};
use crate::end::{DISK, End, Kind, configure};
use crate::gateway::{Gateway, length};
use crate::images::{CHUNK, MIB, file_system, same, size};
use crate::kills::{kill_once_ahead, run_to_the_end, safe_chunks};
use crate::secrets::are_nowhere;
use crate::world::{World, noise};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FOR_EVER: &str = "2999-01-01T00:00:00Z";

/// The signature of a token, as it is sent and as it is.
fn signatures(token: &str) -> [String; 2] {
    let (_, signature) = token.split_once("sig=").unwrap();
    let plain =
        url::form_urlencoded::parse(format!("x={signature}").as_bytes()).next().unwrap().1.into_owned();
    [signature.to_owned(), plain]
}

/// A time in the form of a token (`YYYY-MM-DDThh:mm:ssZ`).
fn written_out(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    // "Sat, 28 Nov 2026 11:12:37 GMT"
    let words: Vec<&str> = text.split(' ').collect();
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(words[2]).unwrap() / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4])
}

/// Once some has arrived, nothing passes until the token is over: what comes then is refused, whichever chunk it is.
#[test]
fn a_token_that_expires_in_mid_transfer_is_said_and_a_new_one_goes_on() {
    let Some(azurite) = Azurite::start() else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let gateway = Gateway::to_url(&azurite.url());
    let secret = format!("secret_file = \"{}\"\n", world.path("token").display());
    configure(&world, "far", "azure", &gateway.url(&azurite.url()), None, &secret);
    let chunk = CHUNK.to_string();
    let args = ["--json", "-vv", "upload", "root.img", "far:", "--name", DISK, "--chunk-size", &chunk];
    let run_with = |validity: u64| {
        let expiry = SystemTime::now() + Duration::from_secs(validity);
        let short = account_sas(&written_out(expiry), "rwdlac");
        std::fs::write(world.path("token"), &short).unwrap();
        let (home, held) = (world.path(""), Arc::new(AtomicBool::new(false)));
        let enough = safe_chunks(&home, false) + 8;
        gateway.set_hook({
            let held = Arc::clone(&held);
            move |_| {
                let now = safe_chunks(&home, false) >= enough;
                if now {
                    held.store(SystemTime::now() < expiry, Ordering::SeqCst);
                    // Tokens count in whole seconds.
                    let over = expiry + Duration::from_secs(1);
                    std::thread::sleep(over.duration_since(SystemTime::now()).unwrap_or_default());
                }
                now
            }
        });
        let ended = world.run(&args);
        gateway.clear_hook();
        held.load(Ordering::SeqCst).then_some((short, ended))
    };
    // On a machine where that is over before enough has arrived, it is tried with more.
    let (short, first) =
        [6, 20, 25].into_iter().find_map(run_with).expect("some chunks arrive in 25 seconds");
    assert_eq!(first.code, 4, "{}", first.stderr);
    let error = first.event("error").to_string();
    assert!(error.contains("has expired") && error.contains("new SAS token"), "{error}");
    let safe = safe_chunks(&world.path(""), false);
    assert!(safe >= 8, "{safe}");
    // The same again says so before anything is sent.
    let again = world.run(&args);
    assert!(again.code == 4 && again.event("error").to_string().contains("has expired"), "{}", again.stdout);
    let long = account_sas(FOR_EVER, "rwdlac");
    std::fs::write(world.path("token"), &long).unwrap();
    let second = world.run(&args);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(second.event("summary")["chunks_resumed"], safe, "{}", second.stdout);
    assert!(azurite.get(DISK) == std::fs::read(&image).unwrap());
    for token in [&short, &long] {
        let [sent, plain] = signatures(token);
        are_nowhere(&[&sent, &plain, token], &[&first, &again, &second], &world, &["token"]);
    }
}

#[test]
fn a_token_is_kept_nowhere_and_shown_nowhere() {
    let Some(azurite) = Azurite::start() else { return };
    let world = World::new("");
    let image = world.image("root.img", 4 * MIB);
    let token = account_sas(FOR_EVER, "rwdlac");
    let wrong = token.replace("sig=", "sig=aaaa");
    configure(&world, "far", "azure", &azurite.url(), Some(&token), "");
    configure(&world, "wrong", "azure", &azurite.url(), Some(&wrong), "");
    let mut all = vec![
        world.run(&["-vv", "upload", "root.img", "far:", "--name", "a", "--verify", "full"]),
        world.run(&["--json", "-vv", "download", "far:a", "back.img"]),
        world.run(&["-vv", "verify", "root.img", "far:a"]),
        world.run(&["-vv", "remote", "test", "far:a"]),
        world.run(&["remote", "show", "far"]),
        world.run(&["--json", "remote", "list"]),
    ];
    for ended in &all {
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    assert!(all[0].stderr.contains("comp=page&sv=(hidden)"), "{}", all[0].stderr);
    assert!(same(&image, &world.path("back.img")));
    let refused = ["-vv", "upload", "root.img", "wrong:a"];
    all.push(world.run(&refused));
    all.push(world.run(&[&["--json"], &refused[..]].concat()));
    for ended in &all[6..] {
        assert_eq!(ended.code, 4, "{}", ended.stderr);
    }
    let secrets = [signatures(&token), signatures(&wrong)].concat();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    are_nowhere(&secrets, &all.iter().collect::<Vec<_>>(), &world, &["config.toml"]);
}

#[test]
fn no_write_is_longer_than_azure_takes() {
    let Some(end) = End::start(Kind::Azurite, 0, None) else { return };
    let world = World::new("");
    std::fs::write(world.path("root.img"), noise(1, 33 << 20)).unwrap();
    end.remote(&world, "far");
    let ended = world.run(&["upload", "root.img", "far:", "--name", DISK, "--chunk-size", "16M"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let heads = end.gateway.heads();
    let lengths: Vec<u64> = heads
        .iter()
        .filter(|head| head.starts_with("PUT") && head.contains("comp=page"))
        .map(|head| length(head))
        .collect();
    assert_eq!((lengths.iter().max(), lengths.iter().sum()), (Some(&(4 * MIB)), 33 * MIB), "{lengths:?}");
    assert!(end.azurite().get(DISK) == noise(1, 33 << 20));
    assert!(heads.iter().all(|head| !head.to_ascii_lowercase().contains("content-encoding")));
}

#[test]
fn a_blob_that_somebody_else_wrote_to_between_two_runs_is_compared_in_full() {
    let Some(end) = End::start(Kind::Azurite, 0, None) else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", 16 * MIB);
    // So that what they overwrite is something.
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(&image).unwrap(),
        &noise(5, 512),
        0,
    )
    .unwrap();
    end.remote(&world, "far");
    let chunk = CHUNK.to_string();
    let args = ["--json", "upload", "root.img", "far:", "--name", DISK, "--chunk-size", &chunk];
    // Ended by a signal that it hears, so that it notes how the blob looks.
    let (home, gateway) = (world.path(""), &end.gateway);
    let child = world.spawn(&[&args[..], &["--bwlimit", "2M:"]].concat());
    let pid = rustix::process::Pid::from_child(&child);
    gateway.set_hook(move |_| {
        safe_chunks(&home, false) >= 8
            && rustix::process::kill_process(pid, rustix::process::Signal::INT).is_ok()
    });
    let first = crate::world::Ended::new(child.wait_with_output().unwrap());
    assert_eq!(first.code, 130, "{}", first.stderr);
    let safe = safe_chunks(&world.path(""), false) as u64;
    // With nobody in between a sample is enough.
    let plan = world.run(&[&args[..], &["--dry-run"]].concat());
    assert_eq!(plan.event("plan")["resume"], "sample", "{}", plan.stdout);
    end.azurite().interfere(DISK);
    let second = world.run(&args);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let (plan, summary) = (second.event("plan"), second.event("summary"));
    assert_eq!(plan["resume"], "full", "{plan}");
    assert!(plan["resume_why"].as_str().unwrap().contains("written to since"), "{plan}");
    assert_eq!(summary["chunks_resumed"], safe - 1, "the one they wrote to is sent again: {summary}");
    end.judge(&image);

    // After a kill there was no time to note it, so there is nothing to compare it with.
    let Some(end) = End::start(Kind::Azurite, 0, None) else { return };
    end.remote(&world, "killed");
    let args = ["upload", "root.img", "killed:", "--name", DISK, "--chunk-size", &chunk, "--bwlimit", "2M:"];
    kill_once_ahead(&world, &end.gateway, &args, false);
    let last = run_to_the_end(&world, &[&["--json"], &args[..args.len() - 2]].concat());
    assert_eq!(last.event("plan")["resume"], "full");
    end.judge(&image);
}

/// As a managed disk is reached: by its own URL, with a token for it alone.
#[test]
fn a_blob_by_its_own_url_needs_no_name() {
    let Some(azurite) = Azurite::start() else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", 16 * MIB);
    azurite.put("disk", &vec![0; 16 << 20]);
    let url = format!("{}/disk", azurite.url());
    assert!(url.contains(CONTAINER));
    configure(&world, "far", "azure", &url, Some(&blob_sas("disk", FOR_EVER, "rw")), "");
    let up = world.run(&["upload", "root.img", "far:", "--verify", "full"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert!(azurite.get("disk") == std::fs::read(&image).unwrap());
    // A file that is not named is named after the end of the url.
    let down = world.run(&["download", "far:"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    let tested = world.run(&["remote", "test", "far:"]);
    assert!(tested.code == 0 && tested.stdout.contains("16777216"), "{} {}", tested.stdout, tested.stderr);
    assert!(same(&image, &world.path("disk")));
}
