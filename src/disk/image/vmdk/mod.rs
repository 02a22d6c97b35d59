//! Reads VMDK images: a sparse extent with an embedded descriptor, or a descriptor and the extents it names.

mod descriptor;
mod sparse;

use super::Layout;
use super::linear::{Linear, Segment};
use super::open::Opener;
use super::part::{Part, shown};
use crate::error::Result;
use descriptor::{Descriptor, ExtentKind};
use sparse::Sparse;

const SECTOR: u64 = 512;

/// The first bytes of extents written by ESX, which are not supported.
const ESX: [&[u8]; 2] = [b"COWD", b"\xbe\xba\xfe\xca\0\0\0\0"];

pub(super) fn open(part: Part, opener: &mut Opener) -> Result<Box<dyn Layout>> {
    let head = part.up_to(0, SECTOR)?;
    if head.starts_with(sparse::MAGIC) {
        let description = Descriptor::parse(&sparse::description(&part)?, &part)?;
        check_parent(&part, &description)?;
        return Ok(Box::new(Sparse::open(part)?));
    }
    if ESX.iter().any(|magic| head.starts_with(magic)) {
        let error = part.refused("it is a sparse extent of ESX, which is not supported");
        return Err(error.hint("clone it with `vmkfstools -i FILE -d thin`, or export it as an OVA"));
    }
    if !head.starts_with(descriptor::MAGIC) {
        return Err(part.refused("it is not a VMDK image: it begins with neither an extent nor a descriptor"));
    }
    if !part.is_whole() {
        let why = "it is only the descriptor of an image, whose extents are other members of the archive";
        return Err(part.refused(why).hint("extract the archive, then use the descriptor"));
    }
    if part.len() > descriptor::LONGEST {
        return Err(part.damaged(format_args!("a descriptor of {} bytes", part.len())));
    }
    let description = Descriptor::parse(&part.up_to(0, descriptor::LONGEST)?, &part)?;
    check_parent(&part, &description)?;
    let mut segments = Vec::new();
    let mut total = 0_u64;
    for extent in description.extents {
        let too_large = || part.damaged(format_args!("an extent of {} sectors", extent.sectors));
        let len = extent.sectors.checked_mul(SECTOR).ok_or_else(too_large)?;
        total = total.checked_add(len).ok_or_else(too_large)?;
        let short = |name: &str, has: u64| {
            let why = format!("its extent {} has {has} bytes, expected {len}", shown(name));
            part.damaged(why).offset(total - len)
        };
        let segment = match extent.kind {
            ExtentKind::Zero => Segment::Zero,
            ExtentKind::Flat { name, sector } => {
                let file = opener.extent(&part, &name)?;
                let at = sector.checked_mul(SECTOR).filter(|at| file.has(*at, len));
                Segment::Stored(file.clone(), at.ok_or_else(|| short(&name, file.len()))?)
            }
            ExtentKind::Sparse { name } => {
                let sparse = Sparse::open(opener.extent(&part, &name)?)?;
                if sparse.size() < len {
                    return Err(short(&name, sparse.size()));
                }
                Segment::Image(Box::new(sparse))
            }
        };
        segments.push((len, segment));
    }
    Ok(Box::new(Linear::new(segments)))
}

fn check_parent(part: &Part, description: &Descriptor) -> Result<()> {
    let Some(parent) = &description.parent else { return Ok(()) };
    let why = format!("it contains only the differences to another file, {}", shown(parent));
    Err(part
        .refused(why)
        .hint("clone the chain into one file first (`vmware-vdiskmanager -r`, or `qemu-img convert`)"))
}
