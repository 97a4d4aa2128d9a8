//! Secrets in slots: made before they are given out, and gone once they are destroyed.

use counterfoil_log::limits::{KEY_FILE_SLOTS, KEY_SLOTS_MADE};
use counterfoil_log::sim::{SimCall, SimDisk, SimFault, SimRandom, SimStorage};
use counterfoil_log::{
    DamageReason, Log, LogError, LogOptions, MemStorage, Secret, Slot, Storage, Vault, VaultError,
};
use std::sync::Arc;

const FIRST_KEYS: &str = "0000000001.keys";
const SECOND_KEYS: &str = "0000000002.keys";
const SLOT: usize = 64;

/// A secret that says whose it is, and of which making.
fn secret(slot: u64, making: u8) -> Secret {
    let mut bytes = [making; 32];
    bytes[..8].copy_from_slice(&slot.to_le_bytes());
    bytes[8..16].copy_from_slice(b"secretly");
    Secret::from(bytes)
}

fn source(slot: u64) -> Result<Secret, String> {
    Ok(secret(slot, 1))
}

fn open(storage: impl Storage) -> (Log, Vault) {
    let (log, _) = Log::open(storage, LogOptions::default()).unwrap();
    let vault = Vault::of(&log);
    (log, vault)
}

fn live(slot: u64) -> Slot {
    Slot::Live(secret(slot, 1))
}

#[test]
fn a_slot_is_given_out_after_a_whole_batch_is_on_disk() {
    let storage = SimStorage::new(1);
    let (_log, vault) = open(storage.clone());
    assert!(!storage.disk().files().contains_key(FIRST_KEYS), "nothing is made before its time");
    assert_eq!(vault.free_from(0, &source).unwrap(), 0);
    let synced = storage.disk().files_synced();
    assert_eq!(synced[FIRST_KEYS].len() as u64, KEY_SLOTS_MADE * 64);
    let syncs =
        |storage: &SimStorage| storage.counts().get(&(SimCall::Sync, "keys".into())).copied();
    for slot in 0..KEY_SLOTS_MADE {
        assert_eq!(vault.free_from(slot, &source).unwrap(), slot);
        assert_eq!(vault.slot(slot).unwrap(), live(slot));
    }
    assert_eq!(syncs(&storage), Some(1), "one sync serves a batch");
    assert_eq!(vault.free_from(KEY_SLOTS_MADE, &source).unwrap(), KEY_SLOTS_MADE);
    assert_eq!(syncs(&storage), Some(2));
    // A batch ends with its file.
    let last = KEY_FILE_SLOTS - 1;
    assert_eq!(vault.free_from(last, &source).unwrap(), last);
    assert_eq!(vault.free_from(last + 1, &source).unwrap(), last + 1);
    let files = storage.disk().files_synced();
    assert_eq!(files[FIRST_KEYS].len() as u64, KEY_FILE_SLOTS * 64);
    assert_eq!(files[SECOND_KEYS].len() as u64, KEY_SLOTS_MADE * 64);
}

#[test]
fn slots_are_the_same_after_reopening() {
    let storage = MemStorage::new();
    {
        let (log, vault) = open(storage.clone());
        assert_eq!(vault.free_from(7, &source).unwrap(), 7);
        vault.destroy(9).unwrap();
        log.close().unwrap();
    }
    let (_log, vault) = open(storage.clone());
    let other = |slot| Ok(secret(slot, 2));
    assert_eq!(vault.slot(7).unwrap(), live(7));
    assert_eq!(vault.slot(9).unwrap(), Slot::Destroyed);
    assert_eq!(vault.free_from(8, &other).unwrap(), 8);
    assert_eq!(vault.free_from(9, &other).unwrap(), 10, "a destroyed slot is never given out");
    assert_eq!(vault.slot(10).unwrap(), live(10));
    // Slots before the first that was asked for were not made; nobody lost them.
    assert!(matches!(vault.slot(6), Err(VaultError::Missing { slot: 6, .. })));
    assert_eq!(vault.free_from(0, &other).unwrap(), 0);
    assert_eq!(vault.slot(0).unwrap(), Slot::Live(secret(0, 2)));
    assert_eq!(vault.slot(7).unwrap(), live(7), "what was made stays");
}

#[test]
fn a_destroyed_secret_is_nowhere_in_the_book() {
    let storage = MemStorage::new();
    let (log, vault) = open(storage.clone());
    vault.free_from(0, &source).unwrap();
    let holds = |slot: u64| {
        let secret = secret(slot, 1);
        let held = |file: &Vec<u8>| file.windows(32).any(|bytes| bytes == secret.expose());
        storage.files().values().any(held)
    };
    assert!(holds(3) && holds(4));
    for _ in 0..2 {
        vault.destroy(3).unwrap();
        assert_eq!(vault.slot(3).unwrap(), Slot::Destroyed);
        assert!(!holds(3) && holds(4));
    }
    assert_eq!(vault.slot(4).unwrap(), live(4));
    assert!(matches!(vault.destroy(KEY_FILE_SLOTS), Err(VaultError::Missing { .. })));
    log.close().unwrap();
}

#[test]
fn who_reads_beside_the_writer_sees_new_slots_and_writes_nothing() {
    let storage = MemStorage::new();
    let (_log, vault) = open(storage.clone());
    let reader = Vault::read_only(Arc::new(storage.clone()));
    assert!(matches!(reader.slot(0), Err(VaultError::Missing { slot: 0, .. })));
    vault.free_from(0, &source).unwrap();
    assert_eq!(reader.slot(0).unwrap(), live(0));
    let before = storage.files();
    assert!(matches!(reader.destroy(0), Err(VaultError::ReadOnly)));
    assert!(matches!(reader.free_from(KEY_SLOTS_MADE, &source), Err(VaultError::ReadOnly)));
    assert!(storage.files() == before);
}

#[test]
fn what_no_writer_wrote_is_refused() {
    let storage = MemStorage::new();
    let (log, vault) = open(storage.clone());
    vault.free_from(0, &source).unwrap();
    log.close().unwrap();
    drop((log, vault));
    let files = storage.files();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files.clone();
        change(files.get_mut(FIRST_KEYS).unwrap());
        Vault::read_only(Arc::new(MemStorage::from_files(files)))
    };
    for bit in 0..SLOT * 8 {
        let vault = with(&|keys| keys[SLOT * 5 + bit / 8] ^= 1 << (bit % 8));
        let found = vault.slot(5);
        let Err(VaultError::Damaged(damage)) = &found else { panic!("bit {bit}: {found:?}") };
        assert_eq!((damage.offset, damage.reason), (5 * 64, DamageReason::KeySlot));
        assert_eq!(vault.slot(4).unwrap(), live(4), "the others are not touched");
    }
    // A slot that is right in another place.
    let vault = with(&|keys| keys.copy_within(SLOT * 4..SLOT * 5, SLOT * 5));
    assert!(matches!(vault.slot(5), Err(VaultError::Damaged(_))));
    // A file that ends in a slot, one that is too long, and one that is not there.
    let vault = with(&|keys| keys.truncate(SLOT * 5 + 10));
    assert!(matches!(vault.slot(5), Err(VaultError::Damaged(_))));
    assert!(matches!(vault.slot(6), Err(VaultError::Missing { slot: 6, .. })));
    let vault = with(&|keys| keys.resize(SLOT * 4096 + 1, 0));
    let found = vault.slot(5);
    assert!(matches!(&found, Err(VaultError::Damaged(d)) if d.reason == DamageReason::AfterEnd));
    let vault = Vault::read_only(Arc::new(MemStorage::new()));
    assert!(matches!(vault.slot(5), Err(VaultError::Missing { slot: 5, .. })));
    assert!(matches!(vault.slot(u64::MAX), Err(VaultError::Full)));
}

/// Every state that a power loss may leave, at any call of making slots and destroying one.
#[test]
fn a_slot_that_was_given_out_is_never_lost_and_a_destroyed_one_never_comes_back() {
    let storage = SimStorage::new(3);
    let (log, vault) = open(storage.clone());
    log.commit().unwrap();
    storage.keep_points();
    vault.free_from(0, &source).unwrap();
    storage.mark(1); // Slot 0 was given out.
    vault.free_from(KEY_SLOTS_MADE, &source).unwrap();
    storage.mark(2); // And another one.
    storage.mark(3); // Slot 1 is being destroyed.
    vault.destroy(1).unwrap();
    storage.mark(4); // It was.
    let mut random = SimRandom::new(7);
    for point in storage.take_points() {
        for _ in 0..8 {
            let disk = point.disk.after_power_loss(&mut random);
            check_after_power_loss(disk, point.mark);
        }
    }
}

fn check_after_power_loss(disk: SimDisk, mark: u64) {
    let (_log, vault) = open(SimStorage::of(disk, 9));
    if mark >= 1 {
        assert_eq!(vault.slot(0).unwrap(), live(0));
    }
    if mark >= 2 {
        assert_eq!(vault.slot(KEY_SLOTS_MADE).unwrap(), live(KEY_SLOTS_MADE));
    }
    match (mark, vault.slot(1)) {
        (4, found) => assert_eq!(found.unwrap(), Slot::Destroyed),
        (3, found) => {
            let found = found.unwrap();
            assert!(found == Slot::Destroyed || found == live(1), "{found:?}");
            vault.destroy(1).unwrap();
            assert_eq!(vault.slot(1).unwrap(), Slot::Destroyed);
        }
        (2, found) => assert_eq!(found.unwrap(), live(1)),
        // Made or torn: nobody was given it.
        _ => {}
    }
    let slot = vault.free_from(2 * KEY_SLOTS_MADE, &source).unwrap();
    assert_eq!(vault.slot(slot).unwrap(), live(slot));
    let first = vault.free_from(0, &source).unwrap();
    assert_eq!(vault.slot(first).unwrap(), live(first), "what is torn is made anew");
}

#[test]
fn an_error_of_writing_poisons_vault_and_log() {
    let changing = [SimCall::Create, SimCall::Write, SimCall::Sync, SimCall::SyncDir];
    for (call, fault) in changing
        .into_iter()
        .flat_map(|call| [SimFault::Io, SimFault::Full].map(|fault| (call, fault)))
    {
        let storage = SimStorage::new(11);
        let (log, vault) = open(storage.clone());
        storage.fail(call, 0, fault);
        let made = vault.free_from(0, &source);
        assert!(
            matches!(made, Err(VaultError::Log(LogError::Poisoned { .. }))),
            "{call:?} {made:?}"
        );
        assert!(matches!(log.commit(), Err(LogError::Poisoned { .. })), "{call:?}");
        assert!(vault.destroy(0).is_err(), "{call:?}");
    }
    for call in [SimCall::Write, SimCall::Sync] {
        let storage = SimStorage::new(12);
        let (log, vault) = open(storage.clone());
        vault.free_from(0, &source).unwrap();
        storage.fail(call, 0, SimFault::Io);
        assert!(matches!(vault.destroy(0), Err(VaultError::Log(LogError::Poisoned { .. }))));
        assert!(matches!(log.close(), Err(LogError::Poisoned { .. })));
    }
    // No randomness is no error of the disk: nothing was written, and the next try may succeed.
    let (log, vault) = open(SimStorage::new(13));
    let dry = |_| Err("dry".to_owned());
    assert!(matches!(vault.free_from(0, &dry), Err(VaultError::Randomness { .. })));
    assert_eq!(vault.free_from(0, &source).unwrap(), 0);
    log.close().unwrap();
}

#[test]
fn a_secret_is_not_shown() {
    let slot = live(1);
    assert_eq!(format!("{slot:?}"), "Live(Secret)");
}
