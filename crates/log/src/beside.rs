//! Checking what lies beside the log: key slots and snapshots.

use crate::{
    error::{Damage, DamageReason, IoError},
    snapshot::damage_of_snapshot,
    storage::Storage,
    vault::damage_of_keys,
};

/// Reads every key slot and snapshot, and says which are damaged. The log opens all the same: a
/// snapshot that cannot be used is passed over, and a slot that cannot be read keeps what is sealed
/// with it from being read, and nothing else.
pub(crate) fn damage_beside(storage: &dyn Storage) -> Result<Vec<Damage>, IoError> {
    let mut names = storage.list().map_err(IoError::at("list", "the book"))?;
    names.sort_unstable();
    let mut damage = Vec::new();
    for name in names {
        damage_of_keys(storage, &name, &mut damage)?;
        if let Some(reason) = damage_of_snapshot(storage, &name)? {
            let reason = DamageReason::Snapshot(reason);
            damage.push(Damage { file: name, offset: 0, reason });
        }
    }
    Ok(damage)
}
