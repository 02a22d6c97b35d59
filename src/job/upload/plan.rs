//! Plans an upload: finds out what exists and what to do. Nothing is written except to the screen.

use super::delta::{Known, destination};
use super::{Delta, Image, ImageBytes, Planned, Upload, prove};
use crate::chunk::Geometry;
use crate::disk::format::TargetFormat;
use crate::disk::store::Facts;
use crate::engine::Context;
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Proof;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan};
use crate::job::resumable::Resumable;
use crate::job::{Access, RemoteStore, Settings, announce, check_device, once_free, usable};
use crate::journal::{Header, NewDrive};
use crate::provider::catalogue::secret;

impl Upload {
    /// Finds out what exists and announces the plan.
    pub(super) async fn plan(
        &self,
        image: &Image,
        far: &RemoteStore,
        settings: &Settings,
        context: &Context,
    ) -> Result<Planned> {
        let geometry = Geometry::checked(image.bytes.size(), settings.chunk_size)?;
        self.check(far)?;
        check_device(image.bytes.disk(), context)?;
        let base = self.base(far, context).await?;
        let header = self.header(image, base.as_ref(), far, settings)?;
        let found = once_free(context, || Resumable::find(settings, &header, context)).await?;
        let ledger = found.ledger(geometry, settings.digest);
        let acked = found.acked(&ledger);
        let known = found.drive().map(|record| record.drive.clone());
        let facts = match known.as_ref().or(self.drive.as_ref()) {
            Some(disk) => Some(self.existing(disk, known.is_some(), image, far, context).await?),
            None if far.store.create().is_none() => return Err(no_new_disk(far)),
            None => None,
        };
        let claim = match &facts {
            Some(facts) if !settings.dry_run => {
                Some(once_free(context, || settings.destinations.claim(&destination(far, facts))).await?)
            }
            _ => None,
        };
        let generation = match (&claim, &facts) {
            (Some(claim), _) => claim.generation().map(str::to_owned),
            (None, Some(facts)) => settings.destinations.generation(&destination(far, facts)),
            (None, None) => None,
        };
        let known = Known {
            found: &found,
            facts: facts.as_ref(),
            base: base.as_ref(),
            generation: generation.as_deref(),
        };
        let basis = self.basis(image, &known, far, geometry, settings);
        let marks = far.store.info().marks;
        let proof = Proof::decide(
            settings.resume,
            [
                found.difference_found(),
                found.written_here(claim.as_ref()),
                facts.as_ref().and_then(|facts| found.written_elsewhere(facts, marks)),
                prove::unreadable_at_places(&image.bytes),
            ],
        );
        let plan = self.describe(image, far, settings, context, &ledger, &found, facts.as_ref(), &proof);
        let (delta, delta_why) = basis
            .as_ref()
            .map_or_else(Default::default, |basis| (basis.trust.name().to_owned(), basis.trust.why.clone()));
        announce(Plan { delta, delta_why, ..plan }, context);
        if let (Some(basis), Some(disk)) = (&basis, base.as_ref().or(facts.as_ref())) {
            basis.trust.tell(&far.called(&disk.disk), context);
        }
        if !acked.is_empty() && image.action == "migrate" && image.bytes.disk().is_none() {
            let text = format!(
                "{} can only be read from its start: reading it again, and comparing what was written before",
                image.from
            );
            (context.observer)(&Event::Warning(text));
        }
        Ok(Planned { found, header, ledger, acked, facts, claim, proof, basis })
    }

    fn header(
        &self,
        image: &Image,
        base: Option<&Facts>,
        far: &RemoteStore,
        settings: &Settings,
    ) -> Result<Header> {
        let source = image.bytes.info();
        let new_drive = if self.drive.is_some() {
            None
        } else {
            // A copy is at least as large as its base.
            let least = base.map_or(source.size, |base| source.size.max(base.size));
            let size = self.new_size(image).unwrap_or(least);
            if let Some(base) = base.filter(|base| size < base.size) {
                return Err(too_small_for(&far.called(&base.disk), size, base.size));
            }
            if size < source.size {
                let text = format!(
                    "the new drive is too small: it would have {size} bytes, and the image has {}",
                    source.size
                );
                return Err(Error::new(Kind::TooSmall, text)
                    .hint(format!("leave `--size` out, or make it `--size {}` at least", source.size)));
            }
            if size > source.size && image.target == TargetFormat::Vhd {
                return Err(too_large("the new drive", size, source.size));
            }
            let (name, keys) = (self.drive_name(image), secret::kept(&self.keys));
            let base = base.map(|base| base.disk.clone());
            Some(NewDrive { name, size, keys, base, before: Vec::new() })
        };
        Ok(Header {
            action: image.action.into(),
            transfer: uuid::Uuid::new_v4().to_string(),
            remote: far.remote.clone(),
            account: far.account.clone(),
            drive: self.drive.clone(),
            image: image.bytes.identity().cloned(),
            file: None,
            size: source.size,
            chunk_size: settings.chunk_size,
            digest: settings.digest.name().into(),
            format: image.target.label(),
            new_drive,
            command: settings.command.clone(),
            directory: settings.directory.clone(),
            compare_all: false,
        })
    }

    /// Returns the size of a new drive, if the user chose it.
    fn new_size(&self, image: &Image) -> Option<u64> {
        match image.bytes {
            // For a stream, `--size` is the size of the stream, and the VHD made of it is larger.
            ImageBytes::Stream(_) if image.target == TargetFormat::Vhd => None,
            _ => self.size,
        }
    }

    /// Returns the name of a new drive: the given name, or else the name of the image.
    fn drive_name(&self, image: &Image) -> String {
        let given = self.name.as_ref().unwrap_or(&image.name);
        // The provider's text format has one value per line, so the name must not contain line breaks.
        given.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Returns the properties of an existing disk, or refuses it if the image does not fit.
    async fn existing(
        &self,
        disk: &str,
        from_journal: bool,
        image: &Image,
        far: &RemoteStore,
        context: &Context,
    ) -> Result<Facts> {
        let size = image.bytes.size();
        let facts = usable(disk, Access::Write, far, context).await.map_err(|error| {
            if from_journal && error.kind() == Kind::NotFound {
                error
                    .context(format_args!("the {} of the interrupted run is gone", far.store.info().noun))
                    .hint("start over, with a new one, with `--restart`")
            } else {
                error
            }
        })?;
        if facts.size < size {
            return Err(too_small(&far.called(&facts.disk), facts.size, size));
        }
        if facts.size > size && image.target == TargetFormat::Vhd && !from_journal {
            return Err(too_large(&far.called(&facts.disk), facts.size, size));
        }
        Ok(facts)
    }

    /// Returns the description of a new drive in the plan.
    fn new_drive(&self, image: &Image, far: &RemoteStore) -> String {
        let copy = match &self.delta {
            Delta::Base(base) => format!(", a copy of {base}"),
            Delta::Off | Delta::Drive => String::new(),
        };
        format!("{}: (a new drive, `{}`{copy})", far.remote, self.drive_name(image))
    }

    #[expect(clippy::too_many_arguments, reason = "a plan is made of everything that is known")]
    fn describe(
        &self,
        image: &Image,
        far: &RemoteStore,
        settings: &Settings,
        context: &Context,
        ledger: &Ledger,
        found: &Resumable,
        facts: Option<&Facts>,
        proof: &Proof,
    ) -> Plan {
        let drive = facts.map(|facts| facts.disk.clone());
        Plan {
            action: image.action,
            from: image.from.clone(),
            format: image.format.clone(),
            to: drive
                .as_ref()
                .map_or_else(|| self.new_drive(image, far), |drive| format!("{}:{drive}", far.remote)),
            target_format: image.target.label(),
            size: image.bytes.size(),
            chunk_size: settings.chunk_size,
            chunks_total: ledger.geometry().chunks(),
            chunks_resumed: ledger.settled(),
            concurrency: context.most_in_flight(),
            compress: match self.compression {
                Compression::None => "none".into(),
                _ if !far.store.info().gzip => "none".into(),
                Compression::Auto => "auto".into(),
                Compression::Level(level) => level.to_string(),
            },
            zeros: match self.delta {
                Delta::Off => self.zeros.planned(found.drive(), facts.is_some()).into(),
                Delta::Drive | Delta::Base(_) => "write".into(),
            },
            verify: settings.verify.name().into(),
            resume: proof.extent.name().into(),
            resume_why: if ledger.settled() > 0 { proof.why.clone() } else { String::new() },
            dry_run: settings.dry_run,
            drive,
            ..Plan::default()
        }
    }
}

fn too_small(what: &str, size: u64, image: u64) -> Error {
    Error::new(Kind::TooSmall, format!("{what} is too small: it has {size} bytes, and the image has {image}"))
        .hint("name a larger drive, or leave out the drive and `--size` to get a new one that fits")
}

fn too_small_for(base: &str, size: u64, needed: u64) -> Error {
    let text =
        format!("the new drive is too small for a copy: it would have {size} bytes, and {base} has {needed}");
    Error::new(Kind::TooSmall, text).hint("leave out `--size`, or choose a larger one")
}

fn too_large(what: &str, size: u64, vhd: u64) -> Error {
    let text = format!(
        "{what} is too large: it has {size} bytes and the VHD {vhd}, so its footer would not be at the end"
    );
    Error::usage(text).hint("name a drive of that size, or leave out both the drive and `--size`")
}

fn no_new_disk(far: &RemoteStore) -> Error {
    let noun = far.store.info().noun;
    Error::usage(format!("no new {noun} can be created on `{}:`", far.remote)).hint(format!(
        "name an existing one, as in `{}:{}`",
        far.remote,
        noun.to_uppercase()
    ))
}
