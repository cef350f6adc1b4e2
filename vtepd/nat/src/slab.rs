//! Numbered places of one size, all allocated at the start.

use vtepd_tables::prefetch_at;

/// The number of no place.
pub(crate) const NONE: u32 = u32::MAX;

/// `capacity` places; the free ones wait on a stack, so that the warmest is taken first.
pub(crate) struct Slab<T> {
    places: Box<[T]>,
    free: Vec<u32>,
    high_water: usize,
}

impl<T: Clone + Default> Slab<T> {
    /// All places are written once here: the packet path never meets a page fault.
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            places: vec![T::default(); capacity as usize].into_boxed_slice(),
            free: (0..capacity).rev().collect(),
            high_water: 0,
        }
    }

    /// Takes a place; `None` when all are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        let number = self.free.pop()?;
        *self.places.get_mut(number as usize)? = value;
        self.high_water = self.high_water.max(self.used());
        Some(number)
    }

    /// Gives a place back, which must have been taken.
    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = T::default();
            self.free.push(number);
        }
    }
}

impl<T> Slab<T> {
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, number: u32) {
        prefetch_at(&self.places, number as usize);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn used(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn high_water(&self) -> usize {
        self.high_water
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.places) + self.free.capacity() * size_of::<u32>()
    }
}
