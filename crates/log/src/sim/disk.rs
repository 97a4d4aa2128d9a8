//! The state of a simulated disk, which can be copied, broken and looked at.

use std::collections::BTreeMap;

use super::{
    inode::{Inode, SECTOR_BYTES},
    random::SimRandom,
};

/// The files of a book by name.
pub type SimFiles = BTreeMap<String, Vec<u8>>;

/// A change of a name that is not synced.
#[derive(Clone, Debug)]
enum NameChange {
    Create { name: String, id: u64 },
    Rename { from: String, to: String, id: u64 },
    Remove { name: String },
}

impl NameChange {
    fn lay(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create { name, id } => drop(names.insert(name.clone(), *id)),
            Self::Rename { from, to, id } => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            Self::Remove { name } => drop(names.remove(name)),
        }
    }
}

/// How a sector goes wrong while nobody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorFault {
    /// One bit of it is the other one.
    Bit,
    /// It reads as zeros.
    Zeroed,
    /// It holds what it held before it was last written: the write never came there.
    Stale,
    /// It and another one have changed places.
    Swapped,
    /// What was written to it stands in another one, and it holds what it held before.
    Misdirected,
}

impl SectorFault {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Bit, Self::Zeroed, Self::Stale, Self::Swapped, Self::Misdirected];
}

/// A disk: what processes see of it, what is synced, and what lies between. A copy shares nothing.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    names_synced: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    next_id: u64,
}

impl SimDisk {
    /// A disk that has these files, all of them synced.
    #[must_use]
    pub fn holding(files: SimFiles) -> Self {
        let mut disk = Self::default();
        for (name, bytes) in files {
            let id = disk.add(Inode::synced(bytes));
            disk.names.insert(name.clone(), id);
            disk.names_synced.insert(name, id);
        }
        disk
    }

    /// The files as processes see them.
    #[must_use]
    pub fn files(&self) -> SimFiles {
        self.named(&self.names, Inode::bytes)
    }

    /// The files as they are if the power went and took all that it may take.
    #[must_use]
    pub fn files_synced(&self) -> SimFiles {
        self.named(&self.names_synced, Inode::bytes_synced)
    }

    /// Bytes of all files as processes see them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let lens = self.names.values().filter_map(|id| self.inodes.get(id));
        lens.fold(0, |sum, inode| sum.saturating_add(crate::bytes::wide(inode.bytes().len())))
    }

    /// What may be left when the power goes now. Of names any of the unsynced changes are kept. Of
    /// the bytes of each file the unsynced changes are dropped, kept, cut off in the middle of one,
    /// or every sector has a version of its own.
    #[must_use]
    pub fn after_power_loss(&self, random: &mut SimRandom) -> Self {
        let all = self.name_changes.len();
        let names = match random.below(4) {
            0 => self.names_synced.clone(),
            1 => self.names.clone(),
            kind => {
                let mut names = self.names_synced.clone();
                let kept = random.index(all.saturating_add(1));
                for (index, change) in self.name_changes.iter().enumerate() {
                    if if kind == 2 { index < kept } else { random.one_in(2) } {
                        change.lay(&mut names);
                    }
                }
                names
            }
        };
        let mut left = Self { next_id: self.next_id, ..Self::default() };
        for id in names.values() {
            let inode = self.inodes.get(id).map(|inode| inode.after_power_loss(random));
            left.inodes.insert(*id, inode.unwrap_or_default());
        }
        left.names_synced.clone_from(&names);
        left.names = names;
        left
    }

    /// The four ends of what a power loss may leave: names as synced or as written, bytes as
    /// synced or as written.
    #[must_use]
    pub fn ends_of_power_loss(&self) -> [SimFiles; 4] {
        let Self { names, names_synced, .. } = self;
        [
            self.named(names_synced, Inode::bytes_synced),
            self.named(names_synced, Inode::bytes),
            self.named(names, Inode::bytes_synced),
            self.named(names, Inode::bytes),
        ]
    }

    /// What processes see after the system dropped clean pages from memory, and reads them from
    /// disk: a sync that failed may have marked pages as clean that never came there.
    #[must_use]
    pub fn after_eviction(&self) -> Self {
        let mut disk = self.clone();
        for inode in disk.inodes.values_mut() {
            *inode = inode.after_eviction();
        }
        disk
    }

    /// Breaks a sector of a file whose name `may` accepts; says which, or `None` where there was
    /// nothing that could break in this way.
    pub fn break_sector(
        &mut self,
        fault: SectorFault,
        random: &mut SimRandom,
        may: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let before = self.files();
        let (name, sector) = self.choose(fault == SectorFault::Stale, random, &may)?;
        let mut what = format!("{fault:?} sector {sector} of {name}");
        let start = sector.saturating_mul(SECTOR_BYTES);
        let own = self.inode(&name)?.sector(sector).to_vec();
        let former = self.inode(&name)?.sector_former(sector);
        match fault {
            SectorFault::Bit => {
                let mut bytes = own;
                let at = random.index(bytes.len());
                let byte = bytes.get_mut(at)?;
                let bit = u32::try_from(random.below(8)).unwrap_or(0);
                *byte ^= 1_u8.rotate_left(bit);
                self.inode_mut(&name)?.overwrite(start, &bytes);
            }
            SectorFault::Zeroed => self.inode_mut(&name)?.overwrite(start, &[0; SECTOR_BYTES]),
            SectorFault::Stale => self.inode_mut(&name)?.overwrite(start, &former),
            SectorFault::Swapped | SectorFault::Misdirected => {
                let (other, place) = self.choose(false, random, &may)?;
                what = format!("{what} and {place} of {other}");
                let theirs = self.inode(&other)?.sector(place).to_vec();
                let left = if fault == SectorFault::Swapped { theirs } else { former };
                self.inode_mut(&name)?.overwrite(start, &left);
                let place = place.saturating_mul(SECTOR_BYTES);
                self.inode_mut(&other)?.overwrite(place, &own);
            }
        }
        (self.files() != before).then_some(what)
    }

    /// A sector of a file whose name is accepted.
    fn choose(
        &self,
        with_former: bool,
        random: &mut SimRandom,
        may: &impl Fn(&str) -> bool,
    ) -> Option<(String, usize)> {
        let mut sectors = Vec::new();
        for (name, id) in self.names.iter().filter(|(name, _)| may(name)) {
            let inode = self.inodes.get(id)?;
            if with_former {
                sectors
                    .extend(inode.sectors_with_former().into_iter().map(|sector| (name, sector)));
            } else {
                sectors.extend((0..inode.sectors()).map(|sector| (name, sector)));
            }
        }
        random.pick(&sectors).map(|(name, sector)| ((*name).clone(), *sector))
    }

    fn named<'d>(
        &'d self,
        names: &BTreeMap<String, u64>,
        bytes: impl Fn(&'d Inode) -> &'d [u8],
    ) -> SimFiles {
        let of = |id| self.inodes.get(id).map(|inode| bytes(inode).to_vec()).unwrap_or_default();
        names.iter().map(|(name, id)| (name.clone(), of(id))).collect()
    }

    fn add(&mut self, inode: Inode) -> u64 {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        self.inodes.insert(id, inode);
        id
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn id(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    fn inode(&self, name: &str) -> Option<&Inode> {
        self.inodes.get(self.names.get(name)?)
    }

    fn inode_mut(&mut self, name: &str) -> Option<&mut Inode> {
        self.inodes.get_mut(self.names.get(name)?)
    }

    pub(super) fn by_id(&mut self, id: u64) -> &mut Inode {
        self.inodes.entry(id).or_default()
    }

    pub(super) fn create(&mut self, name: &str) -> u64 {
        let id = self.add(Inode::default());
        self.change_name(NameChange::Create { name: name.to_owned(), id });
        id
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, id: u64) {
        self.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), id });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change_name(NameChange::Remove { name: name.to_owned() });
    }

    fn change_name(&mut self, change: NameChange) {
        change.lay(&mut self.names);
        self.name_changes.push(change);
    }

    pub(super) fn sync_names(&mut self) {
        self.names_synced.clone_from(&self.names);
        self.name_changes.clear();
    }

    /// A sync of the names that failed: some of the changes came to the disk. Other than pages,
    /// those that did not stay to be synced; a file system that loses them goes out of service.
    pub(super) fn fail_sync_names(&mut self, random: &mut SimRandom) {
        for change in &self.name_changes {
            if random.one_in(2) {
                change.lay(&mut self.names_synced);
            }
        }
    }
}
