//! A container: looking up and listing its page blobs, creating one, and finding one that was created.

use super::sas::SasToken;
use super::service::{self, Request, Service, check_name, check_transport, quoted};
use super::{PAGE, PageBlob, xml};
use crate::disk::Evidence;
use crate::disk::elastic::drives::says_nothing_was_made;
use crate::disk::store::CreateError;
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::transport::client::{Options, text};
use crate::transport::retry::Retry;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use std::sync::Arc;

/// The metadata key in which a blob carries the id of the transfer that created it.
const MARK: &str = "x-ms-meta-diskferry";

/// The largest page blob (Azure Storage REST reference, `Put Blob`, `x-ms-blob-content-length`).
const LARGEST: u64 = 8 << 40;

/// The most blobs in a listing.
const MOST_BLOBS: usize = 20_000;

/// The most pages of a listing; pages may be empty.
const MOST_PARTS: usize = 1000;

/// The blobs per page of a listing: a reply of about 1.5 MiB.
const LISTED_AT_A_TIME: &str = "1000";

/// A container, or a single blob by its own URL. Clones share the connections.
#[derive(Clone)]
pub struct BlobContainer {
    service: Service,
    retry: Retry,
}

/// The properties of a page blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// The name; empty for the blob that the URL itself names.
    pub name: String,
    /// The size in bytes, a multiple of 512.
    pub size: u64,
    /// The `ETag`. Every write changes it.
    pub etag: String,
    /// The id of the transfer that created the blob, if any.
    pub mark: Option<String>,
    /// The state of the lease, such as `available` or `leased`.
    pub lease: String,
}

impl BlobInfo {
    /// Returns evidence of writes to the blob.
    pub fn evidence(&self) -> Evidence {
        Evidence { tag: Some(self.etag.clone()), ..Evidence::default() }
    }

    /// Returns whether somebody holds a lease on the blob: it can then be read but not written by others. The
    /// disk of a virtual machine is leased.
    pub fn is_leased(&self) -> bool {
        self.lease == "leased" || self.lease == "breaking"
    }

    fn read(name: &str, headers: &HeaderMap) -> Result<Self> {
        let kind = text(headers, "x-ms-blob-type");
        if kind != "PageBlob" {
            let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
            let kind = if kind.is_empty() { "of an unknown type".to_owned() } else { format!("a {kind}") };
            return Err(Error::new(Kind::Refused, format!("expected a page blob, got {kind}"))
                .hint("a disk image must be a page blob; use another name to create one"));
        }
        let size = text(headers, "content-length").trim().parse::<u64>().ok();
        let size = size.filter(|size| *size <= LARGEST && size.is_multiple_of(PAGE));
        let size = size.ok_or_else(|| {
            Error::new(Kind::Protocol, "the server returned a page blob without a valid size")
        })?;
        let mark = Some(text(headers, MARK)).filter(|mark| !mark.is_empty());
        let lease = text(headers, "x-ms-lease-state").to_ascii_lowercase();
        Ok(Self { name: name.to_owned(), size, etag: service::etag(headers)?, mark, lease })
    }
}

/// A page blob to create.
#[derive(Clone, Copy, Debug)]
pub struct BlobToMake<'a> {
    /// The name.
    pub name: &'a str,
    /// The size of the image in bytes. The blob's size is the next multiple of 512.
    pub size: u64,
    /// The id of the transfer that creates it.
    pub transfer: &'a str,
}

impl BlobContainer {
    /// Creates a handle for the container at `url`, or for the single blob whose URL it is, such as a managed
    /// disk. `allow_http` allows the token to be sent unencrypted.
    pub fn new(
        url: Url,
        sas: SasToken,
        allow_http: bool,
        options: &Options,
        meters: Arc<Meters>,
        retry: Retry,
    ) -> Result<Self> {
        check_transport(&url, allow_http)?;
        Ok(Self { service: Service::new(url, sas, options, meters)?, retry })
    }

    /// Returns the address without the token.
    pub fn address(&self) -> &Url {
        self.service.address()
    }

    /// Returns a blob as a disk. `transfer` is the current transfer: a blob that it created reads as zero
    /// wherever it wrote nothing.
    pub fn disk(&self, blob: &BlobInfo, transfer: Option<&str>) -> PageBlob {
        PageBlob::new(self.service.clone(), blob, transfer)
    }

    /// Returns the properties of a blob. `name` is empty for the one that the URL itself names.
    pub async fn info(&self, name: &str) -> Result<BlobInfo> {
        let what = format!("looking up blob {}", shown(name));
        self.retry.run(&what, None, async || self.info_once(name).await).await
    }

    /// Like [`BlobContainer::info`], in one attempt.
    pub async fn info_once(&self, name: &str) -> Result<BlobInfo> {
        info_once(&self.service, name).await
    }

    /// Returns the blob that a transfer created under this name, if it did.
    pub async fn find_made(&self, new: &BlobToMake<'_>) -> Result<Option<BlobInfo>> {
        match self.info(new.name).await {
            Ok(blob) => Ok(Some(blob).filter(|blob| blob.mark.as_deref() == Some(new.transfer))),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a page blob, once; an existing blob is never overwritten. Repeating an attempt is safe: it
    /// either creates the blob, or finds one whose mark shows who created it.
    ///
    /// # Errors
    /// [`CreateError::Refused`] if certainly nothing was created, [`CreateError::Unknown`] otherwise.
    pub async fn create(&self, new: &BlobToMake<'_>) -> Result<BlobInfo, CreateError> {
        let size = new.size.checked_next_multiple_of(PAGE).filter(|size| (1..=LARGEST).contains(size));
        let Some(size) = size else {
            let what =
                format!("expected a size from 512 bytes to 8 TiB for a page blob, got {} bytes", new.size);
            return Err(CreateError::Refused(Error::usage(what)));
        };
        let checked = check_name(new.name).and_then(|()| {
            if new.name.is_empty() { Err(Error::usage("a new blob needs a name")) } else { Ok(()) }
        });
        checked.map_err(CreateError::Refused)?;
        let mut doubtful = false;
        let what = format!("creating blob {}", new.name);
        let attempt = async || {
            let doubtful_before = std::mem::replace(&mut doubtful, true);
            let made = self.create_once(new, size).await;
            // An attempt that is dropped while it waits never gets here, and its outcome stays unknown.
            if made
                .as_ref()
                .is_err_and(|error| error.kind() == Kind::Exists || says_nothing_was_made(error.kind()))
            {
                doubtful = doubtful_before;
            }
            made
        };
        match self.retry.run_settled(&what, None, attempt).await {
            Ok(made) => Ok(made),
            Err(error) if !doubtful => Err(CreateError::Refused(error)),
            // Whatever the last reply was, an earlier attempt may have created the blob.
            Err(error) => match self.find_made(new).await {
                Ok(Some(found)) => Ok(found),
                Ok(None) | Err(_) => Err(CreateError::Unknown(error)),
            },
        }
    }

    async fn create_once(&self, new: &BlobToMake<'_>, size: u64) -> Result<BlobInfo> {
        let request = Request::new(Method::PUT, new.name)
            .header("x-ms-blob-type", "PageBlob")?
            .header("x-ms-blob-content-length", &size.to_string())?
            .header("if-none-match", "*")?
            .header(MARK, new.transfer)?;
        let exists = match self.service.ask(request, 201).await {
            Ok(answer) => {
                return Ok(BlobInfo {
                    name: new.name.to_owned(),
                    size,
                    etag: service::etag(answer.headers())?,
                    mark: Some(new.transfer.to_owned()),
                    lease: "available".to_owned(),
                });
            }
            // 409 BlobAlreadyExists, or 412 for the condition (`Specifying conditional headers for Blob
            // service operations`).
            Err(error) if matches!(error.kind(), Kind::Exists | Kind::Source) => {
                error.with_kind(Kind::Exists)
            }
            Err(error) => return Err(error),
        };
        // An earlier attempt may have created it.
        match self.info_once(new.name).await {
            Ok(blob) if blob.mark.as_deref() == Some(new.transfer) && blob.size == size => Ok(blob),
            Err(error) if error.kind().is_retryable() => Err(error),
            _ => Err(exists),
        }
    }

    /// Returns the page blobs of the container whose names begin with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>> {
        let (mut blobs, mut marker) = (Vec::new(), String::new());
        let mut pages = 0;
        loop {
            let attempt = async || self.list_once(prefix, &marker).await;
            let (part, next) = self.retry.run("listing the blobs", None, attempt).await?;
            blobs.extend(part);
            pages += 1;
            let Some(next) = next else { return Ok(blobs) };
            if blobs.len() > MOST_BLOBS || pages > MOST_PARTS {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the container has more than {MOST_BLOBS} blobs"),
                )
                .hint("use a separate container for disk images"));
            }
            if next == marker {
                return Err(Error::new(Kind::Protocol, "the server's list of blobs repeats a page"));
            }
            marker = next;
        }
    }

    /// Returns a page of the list and the marker of the next.
    async fn list_once(&self, prefix: &str, marker: &str) -> Result<(Vec<BlobInfo>, Option<String>)> {
        let mut query = vec![
            ("restype", "container"),
            ("comp", "list"),
            ("include", "metadata"),
            ("maxresults", LISTED_AT_A_TIME),
        ];
        query.extend(
            [("prefix", prefix), ("marker", marker)].into_iter().filter(|(_, value)| !value.is_empty()),
        );
        let request = Request { query: &query, ..Request::new(Method::GET, "") };
        let mut answer = self.service.ask(request, 200).await?;
        let body = answer.whole().await?;
        parse_list(&String::from_utf8_lossy(&body)).map_err(|why| {
            Error::new(Kind::Protocol, format!("cannot parse the server's list of blobs: {why}"))
        })
    }
}

/// Omits the retry policy.
impl std::fmt::Debug for BlobContainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobContainer").field("service", &self.service).finish_non_exhaustive()
    }
}

/// Returns the properties of a blob, in one attempt.
pub(super) async fn info_once(service: &Service, name: &str) -> Result<BlobInfo> {
    check_name(name)?;
    let answer = service.ask(Request::new(Method::HEAD, name), 200).await?;
    BlobInfo::read(name, answer.headers())
}

/// Returns the name of a blob in messages.
pub(super) fn shown(name: &str) -> &str {
    if name.is_empty() { "at the remote's url" } else { name }
}

/// Parses a list of blobs; other than page blobs are ignored (`List Blobs`).
fn parse_list(body: &str) -> Result<(Vec<BlobInfo>, Option<String>), String> {
    #[derive(Default)]
    struct Blob {
        name: String,
        kind: String,
        size: Option<u64>,
        etag: String,
        mark: Option<String>,
        lease: String,
    }
    let (mut blobs, mut blob, mut marker, mut is_list) = (Vec::new(), Blob::default(), None, false);
    xml::walk(body, |path, text| {
        let Some(part) = path.strip_prefix("EnumerationResults") else {
            return Err("it is not a list".to_owned());
        };
        match part.strip_prefix("/Blobs/Blob") {
            Some("/Name") => text.clone_into(&mut blob.name),
            Some("/Properties/BlobType") => text.clone_into(&mut blob.kind),
            Some("/Properties/Content-Length") => blob.size = text.trim().parse().ok(),
            Some("/Properties/Etag") => blob.etag = quoted(text),
            Some("/Properties/LeaseState") => blob.lease = text.to_ascii_lowercase(),
            Some("/Metadata/diskferry") => blob.mark = Some(text.to_owned()),
            Some("") => {
                let Blob { name, kind, size, etag, mark, lease } = std::mem::take(&mut blob);
                // Ignore a blob without the required properties.
                if let ("PageBlob", Some(size), false) = (&*kind, size, name.is_empty() || etag.len() < 3) {
                    blobs.push(BlobInfo { name, size, etag, mark, lease });
                }
            }
            _ if part == "/NextMarker" => marker = Some(text.to_owned()).filter(|marker| !marker.is_empty()),
            _ if part.is_empty() => is_list = true,
            _ => {}
        }
        Ok(())
    })?;
    if is_list { Ok((blobs, marker)) } else { Err("it is not a list".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_blobs_of_a_list_are_read() {
        let blob = |name: &str, kind: &str, more: &str| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Etag>0x8D</Etag><Content-Length>1024</Content-Length>\
                 <BlobType>{kind}</BlobType><LeaseState>leased</LeaseState></Properties>{more}</Blob>"
            )
        };
        let with_mark = "<Metadata><diskferry>t1</diskferry></Metadata>";
        let body = format!(
            "\u{feff}<EnumerationResults ContainerName=\"c\"><Prefix/><Blobs>{}{}{}</Blobs><NextMarker>n</NextMarker></EnumerationResults>",
            blob("a&amp;b", "PageBlob", with_mark),
            blob("text", "BlockBlob", ""),
            blob("c", "PageBlob", ""),
        );
        let (blobs, marker) = parse_list(&body).unwrap();
        assert_eq!(marker.as_deref(), Some("n"));
        let names: Vec<(&str, Option<&str>)> = blobs.iter().map(|b| (&*b.name, b.mark.as_deref())).collect();
        assert_eq!(names, [("a&b", Some("t1")), ("c", None)]);
        assert!(blobs[0].is_leased() && blobs[0].size == 1024 && blobs[0].etag == "\"0x8D\"");
        assert!(parse_list("<html/>").is_err() && parse_list(&body[..body.len() - 9]).is_err());
    }
}
