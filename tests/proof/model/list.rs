//! A short list without heap memory, so that states are small and quick to copy and to hash.

/// At most `N` items. The unused places hold the default, so that equal lists have equal hashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct List<T, const N: usize> {
    len: u8,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self {
            len: 0,
            items: [T::default(); N],
        }
    }
}

impl<T: std::fmt::Debug, const N: usize> std::fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T, const N: usize> std::ops::Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len as usize]
    }
}

impl<T, const N: usize> std::ops::DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len as usize]
    }
}

impl<T: Copy + Default + PartialEq, const N: usize> List<T, N> {
    pub fn of(items: &[T]) -> Self {
        let mut list = Self::default();
        for item in items {
            assert!(list.push(*item), "the list is too short");
        }
        list
    }

    /// Appends an item (RPUSH); false if there is no room.
    pub fn push(&mut self, item: T) -> bool {
        let has_room = (self.len as usize) < N;
        if has_room {
            self.items[self.len as usize] = item;
            self.len += 1;
        }
        has_room
    }

    /// Inserts an item at the head (LPUSH); false if there is no room.
    pub fn push_front(&mut self, item: T) -> bool {
        let has_room = (self.len as usize) < N;
        if has_room {
            self.items.copy_within(0..self.len as usize, 1);
            self.items[0] = item;
            self.len += 1;
        }
        has_room
    }

    /// Removes and returns the item at the head (LPOP).
    pub fn pop_front(&mut self) -> Option<T> {
        let first = *self.first()?;
        self.remove(0);
        Some(first)
    }

    /// Removes the item at a place.
    pub fn remove(&mut self, place: usize) {
        self.items.copy_within(place + 1..self.len as usize, place);
        self.len -= 1;
        self.items[self.len as usize] = T::default();
    }

    /// Removes the last occurrence of an item (LREM -1).
    pub fn remove_last(&mut self, item: T) {
        if let Some(place) = self.iter().rposition(|each| *each == item) {
            self.remove(place);
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
