//! A far end with one disk, of any kind, behind a gateway.

use crate::azurite::{Azurite, account_sas};
use crate::gateway::Gateway;
use crate::image_server::{ImageServer, Setup};
use crate::images::{CHUNK, MIB, allocated, data, same};
use crate::nbd_server::NbdServer;
use crate::support::qemu_img::{self, qemu_img, run};
use crate::world::World;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The ticket of all image servers here.
pub const TICKET: &str = "7c1f6a52-0b6e-4f1e-9a55-ticket-of-a-test";

/// What the disk behind it is called, where it has a name.
pub const DISK: &str = "images/web 1";

/// What is at the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    QemuNbdRaw,
    QemuNbdQcow2,
    /// With errors and delays.
    Nbdkit,
    ImageioFile,
    ImageioQcow2,
    Azurite,
}

/// A running one. Everything goes with it.
pub struct End {
    kind: Kind,
    dir: TempDir,
    nbd: Option<NbdServer>,
    imageio: Option<ImageServer>,
    azurite: Option<Azurite>,
    pub gateway: Gateway,
}

impl End {
    /// Starts one with a disk of `size` bytes, or with what is in `contents`; `None` where it is not installed.
    pub fn start(kind: Kind, size: u64, contents: Option<&Path>) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (mut nbd, mut imageio, mut azurite) = (None, None, None);
        if kind != Kind::Azurite {
            if !qemu_img::is_here() {
                return None;
            }
            let format = kind.format();
            let create = match contents {
                Some(from) => format!("convert -f raw -O {format} {} image", from.display()),
                None => format!("create -q -f {format} image {size}"),
            };
            qemu_img(dir.path(), &create);
        }
        let image = dir.path().join("image");
        match kind {
            Kind::QemuNbdRaw | Kind::QemuNbdQcow2 => {
                let more = ["--cache=writeback", "--export-name", DISK];
                nbd = Some(NbdServer::qemu_nbd(dir.path(), &image, kind.format(), &more)?);
            }
            Kind::Nbdkit => {
                let file = format!("file={}", image.display());
                let arguments = [
                    "--filter=error",
                    "--filter=delay",
                    "file",
                    &file,
                    // What fails is tried again; a flush has to be one that can be trusted.
                    "error-pread-rate=5%",
                    "error-pwrite-rate=5%",
                    "error-zero-rate=5%",
                    "error-extents-rate=5%",
                    "rdelay=2ms",
                    "wdelay=2ms",
                ];
                nbd = Some(NbdServer::nbdkit(dir.path(), &arguments)?);
            }
            Kind::ImageioFile | Kind::ImageioQcow2 => {
                let server = ImageServer::start(&Setup::default())?;
                let url = if kind == Kind::ImageioQcow2 {
                    nbd = Some(NbdServer::qemu_nbd(dir.path(), &image, "qcow2", &[])?);
                    format!("nbd:unix:{}", nbd.as_ref()?.socket().display())
                } else {
                    format!("file://{}", image.display())
                };
                server.ticket(TICKET, size, &url, &["read", "write"]);
                imageio = Some(server);
            }
            Kind::Azurite => azurite = Some(Azurite::start()?),
        }
        let gateway = match (&imageio, &azurite, &nbd) {
            (Some(server), ..) => Gateway::to_url(&server.url()),
            (_, Some(server), _) => Gateway::to_url(&server.url()),
            (.., Some(server)) => Gateway::to_socket(server.socket()),
            _ => unreachable!("one of them was started"),
        };
        let end = Self { kind, dir, nbd, imageio, azurite, gateway };
        if let (Kind::Azurite, Some(image)) = (kind, contents) {
            end.azurite.as_ref()?.put(DISK, &std::fs::read(image).unwrap());
        }
        Some(end)
    }

    /// Makes it the remote NAME: of a world; returns how its disk is named there.
    pub fn remote(&self, world: &World, name: &str) -> String {
        let (provider, url, secret) = match self.kind {
            Kind::QemuNbdRaw | Kind::QemuNbdQcow2 | Kind::Nbdkit => {
                ("nbd", format!("nbd://{}", self.gateway.address()), None)
            }
            Kind::ImageioFile | Kind::ImageioQcow2 => {
                ("imageio", self.gateway.url(&self.imageio().url()), Some(TICKET.to_owned()))
            }
            Kind::Azurite => {
                let sas = account_sas("2999-01-01T00:00:00Z", "rwdlac");
                ("azure", self.gateway.url(&self.azurite().url()), Some(sas))
            }
        };
        configure(world, name, provider, &url, secret.as_deref(), "");
        if self.kind == Kind::Nbdkit { format!("{name}:") } else { format!("{name}:{DISK}") }
    }

    pub fn imageio(&self) -> &ImageServer {
        self.imageio.as_ref().expect("it is an image server")
    }

    pub fn azurite(&self) -> &Azurite {
        self.azurite.as_ref().expect("it is Azurite")
    }

    /// Has the disk made, where that is not done before.
    pub fn arguments(&self) -> &'static [&'static str] {
        if self.kind == Kind::Azurite { &["--name", DISK] } else { &[] }
    }

    /// Ends it and compares what it holds with `image`, also how much room that takes.
    pub fn judge(mut self, image: &Path) {
        let most = data(image) + 2 * MIB;
        if let Some(azurite) = &self.azurite {
            assert!(azurite.get(DISK) == std::fs::read(image).unwrap());
            assert!(azurite.pages(DISK) <= most, "{} of {most} bytes of pages", azurite.pages(DISK));
            return;
        }
        (self.imageio, self.nbd) = (None, None);
        let there = self.dir.path().join("image");
        compare(image, &there, self.kind.format());
        assert!(allocated(&there) <= most, "{} of {most} bytes are allocated", allocated(&there));
        let map = mapped(&there, self.kind.format());
        assert!(map <= most, "{map} of {most} bytes are data");
    }
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::QemuNbdRaw,
        Kind::QemuNbdQcow2,
        Kind::Nbdkit,
        Kind::ImageioFile,
        Kind::ImageioQcow2,
        Kind::Azurite,
    ];

    fn format(self) -> &'static str {
        if matches!(self, Kind::QemuNbdQcow2 | Kind::ImageioQcow2) { "qcow2" } else { "raw" }
    }

    /// Whether a chunk counts for a later run only after a flush.
    pub fn is_volatile(self) -> bool {
        self != Kind::Azurite
    }

    /// Whether the remote makes disks.
    pub fn creates(self) -> bool {
        self == Kind::Azurite
    }
}

/// Writes a remote into a world's configuration file.
pub fn configure(world: &World, name: &str, provider: &str, url: &str, secret: Option<&str>, more: &str) {
    let secret = secret.map_or_else(String::new, |secret| format!("secret = \"{secret}\"\n"));
    let text = format!("[remotes.{name}]\nprovider = \"{provider}\"\nurl = \"{url}\"\n{secret}{more}");
    let mut file = std::fs::File::options().append(true).open(world.path("config.toml")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Fails unless `there`, in a format, holds what `image` does: by QEMU, and byte by byte.
pub fn compare(image: &Path, there: &Path, format: &str) {
    let dir = there.parent().unwrap();
    let (image_text, there_text) = (image.to_str().unwrap(), there.to_str().unwrap());
    run("qemu-img", dir, &["compare", "-f", "raw", "-F", format, image_text, there_text]);
    if format == "raw" {
        assert!(same(image, there));
    } else {
        let raw: PathBuf = dir.join("judged");
        run("qemu-img", dir, &["convert", "-f", format, "-O", "raw", there_text, raw.to_str().unwrap()]);
        assert!(same(image, &raw));
        std::fs::remove_file(raw).unwrap();
    }
}

/// The bytes of an image that are neither holes nor known zeros, by `qemu-img map`, rounded up to chunks.
pub fn mapped(image: &Path, format: &str) -> u64 {
    let text = image.to_str().unwrap();
    let map = run("qemu-img", image.parent().unwrap(), &["map", "--output=json", "-f", format, text]);
    let map: Vec<Value> = serde_json::from_slice(&map.stdout).unwrap();
    let data = map.iter().filter(|extent| extent["data"] == true && extent["zero"] == false);
    data.map(|extent| extent["length"].as_u64().unwrap()).sum::<u64>().next_multiple_of(CHUNK)
}
