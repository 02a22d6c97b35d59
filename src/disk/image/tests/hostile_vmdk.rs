//! VMDK descriptors that are malicious.

use super::hostile::follow;
use super::matrix::MIB;
use super::{OpenOptions, bytes_of, disk, disk_with, refused};

#[test]
fn a_description_leads_to_files_of_its_own_directory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join("below")).unwrap();
    std::fs::write(dir.path().join("outside"), vec![1; MIB]).unwrap();
    std::fs::write(home.join("inside"), vec![2; MIB]).unwrap();
    std::fs::write(home.join("below/inside"), vec![3; MIB]).unwrap();
    std::os::unix::fs::symlink("../outside", home.join("link")).unwrap();
    std::os::unix::fs::symlink(dir.path(), home.join("up")).unwrap();
    std::os::unix::fs::symlink("inside", home.join("near")).unwrap();
    let _ = std::process::Command::new("mkfifo").arg(home.join("pipe")).output();
    let path = home.join("disk.vmdk");
    let write = |lines: &str| {
        let head = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n";
        std::fs::write(&path, format!("{head}{lines}\n")).unwrap();
    };
    let absolute = dir.path().join("outside");
    let outside = "is outside its directory";
    for (name, says) in [
        ("/etc/passwd", outside),
        (absolute.to_str().unwrap(), outside),
        ("../outside", outside),
        ("below/../../outside", outside),
        ("link", outside),
        ("up/outside", outside),
        ("./../home/inside", outside),
        ("below", "it is not a regular file"),
        ("pipe", "it is not a regular file"),
        ("absent", "No such file"),
        ("\u{1b}]0;x\u{7}", "`\\u{1b}]0;x\\u{7}`"),
    ] {
        write(&format!("RW 2048 FLAT \"{name}\" 0"));
        let error = refused(&path, &OpenOptions::default());
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    write("RW 1024 FLAT \"near\" 1024\nRW 8 ZERO\nRW 2048 FLAT \"below/inside\" 0");
    let bytes = bytes_of(&*disk(&path)).unwrap();
    assert!(bytes == [vec![2; MIB / 2], vec![0; 4096], vec![3; MIB]].concat());
    write("RW 2048 FLAT \"../outside\" 0");
    assert!(bytes_of(&*disk_with(&path, &follow()).unwrap().0).unwrap() == vec![1; MIB]);
    for (lines, says) in [
        ("RW 2049 FLAT \"inside\" 0", "has 1048576 bytes, expected 1049088"),
        ("RW 1 FLAT \"inside\" 99999999999999999999", "an extent without an offset"),
        ("RW 1 FLAT \"inside\" 36028797018963968", "expected"),
        ("RW 36028797018963968 ZERO", "an extent of 36028797018963968 sectors"),
        ("RW 36028797018963967 ZERO\nRW 9 ZERO", "an extent of 9 sectors"),
        ("RW 20000000000000000 ZERO", "has a size of"),
        ("RW x FLAT \"inside\" 0", "no size"),
        ("RW 8 FLAT", "an extent without a file"),
        ("NOACCESS 8 ZERO", "without read access"),
        ("RW 8 VMFSSPARSE \"inside\"", "of ESX"),
        ("RW 2048 SPARSE \"inside\"", "no VMDK header"),
        ("", "is empty"),
        (&"RW 1 ZERO\n".repeat(600), "more than 512 extents"),
        (
            "parentCID=deadbeef\nparentFileNameHint=\"base\u{1b}.vmdk\"",
            "differences to another file, `base\\u{1b}.vmdk`",
        ),
    ] {
        write(lines);
        let error = refused(&path, &OpenOptions::default());
        assert!(error.to_string().contains(says), "{lines:.80}: {error}");
    }
    std::fs::write(&path, [&b"# Disk DescriptorFile\n"[..], &vec![b'#'; 2 * MIB]].concat()).unwrap();
    assert!(refused(&path, &OpenOptions::default()).to_string().contains("a descriptor of"));
}
