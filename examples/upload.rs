//! Uploads a file to a new drive and prints the progress once a second.
//!
//!     cargo run --release --example upload -- URL USER FILE
//!
//! The secret is read from the environment variable SECRET. The state directory is `./state`; running the
//! same command again resumes.

use diskferry::engine::Context;
use diskferry::engine::encode::codec::Compression;
use diskferry::event::{Event, Observer};
use diskferry::job::upload::{Delta, Image, Upload, Zeros};
use diskferry::job::{RemoteStore, Settings};
use diskferry::meters::Meters;
use diskferry::remote::{Auth, Client, Drives, Options, Provider};
use diskferry::{Error, Result, disk::image::OpenOptions, stop};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Error::io("cannot start the runtime", e))?.block_on(upload())
}

async fn upload() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut next = |what: &str| words.next().ok_or_else(|| Error::usage(format!("{what} is missing")));
    let (url, user, file) = (next("the URL")?, next("the user")?, PathBuf::from(next("the file")?));
    let secret = std::env::var("SECRET").map_err(|_| Error::usage("SECRET is not set"))?;

    let meters = Arc::new(Meters::default());
    let observer: Observer = Arc::new(|event| match event {
        Event::Plan(plan) => eprintln!("{} bytes in {} chunks", plan.size, plan.chunks_total),
        Event::Warning(text) => eprintln!("warning: {text}"),
        _ => {}
    });
    // The holder of the stopper may end the transfer; a later run resumes it.
    let (_stopper, stop) = stop::pair();
    let context = Context::new(Arc::clone(&meters), observer, stop, 8, None);

    let base = url.parse().map_err(|e| Error::usage(format!("{url} is not a URL: {e}")))?;
    let auth = Auth::basic(&user, &secret.into())?;
    let client = Client::new(Provider::OpenHosting, base, auth, &Options::default(), Arc::clone(&meters))?;
    let drives = Drives::new(client, context.retry.clone())?;
    let far =
        RemoteStore { remote: "example".into(), account: format!("{url} {user}"), store: Arc::new(drives) };

    let image = Image::open(&file, OpenOptions::default(), &context).await?;
    let upload = Upload {
        drive: None,
        name: None,
        size: None,
        keys: Vec::new(),
        compression: Compression::Auto,
        zeros: Zeros::Auto,
        delta: Delta::Off,
    };
    let settings = Settings::new(Path::new("state"));
    let moving = upload.run(image, &far, &settings, &context);
    tokio::pin!(moving);
    let done = loop {
        tokio::select! {
            done = &mut moving => break done?,
            () = tokio::time::sleep(Duration::from_secs(1)) => eprintln!("{} bytes", meters.image.load(Relaxed)),
        }
    };
    if let Some(done) = done {
        // Printed before the commit, which ends the transfer.
        println!("{}", done.result.drive);
        done.commit()?;
    }
    Ok(())
}
