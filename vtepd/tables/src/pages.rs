//! A list in pages that copies share: a change copies the page that it is on, and
//! whoever holds an older copy keeps the older page.

use std::sync::Arc;

/// Entries of a page. With the largest entries, of 128 bytes, 8 KiB are copied for a
/// change; a list of 65,536 has 1024 pages to be counted up.
const PAGE: usize = 64;

/// The list. What lies beyond its end, and what nobody has written, is the default.
#[derive(Clone)]
pub(crate) struct Pages<T>(Vec<Arc<[T; PAGE]>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone + Default> Pages<T> {
    /// An entry; `None` beyond the end.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let page = self.0.get(index / PAGE)?;
        page.get(index % PAGE)
    }

    /// The entry to change.
    pub(crate) fn get_mut(&mut self, index: usize) -> &mut T {
        let (page, entry) = (index / PAGE, index % PAGE);
        while self.0.len() <= page {
            let vacant = core::array::from_fn(|_| T::default());
            self.0.push(Arc::new(vacant));
        }
        &mut Arc::make_mut(&mut self.0[page])[entry]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_in_one_copy_only_and_copies_one_page() {
        let mut pages = Pages::<u32>::default();
        assert_eq!(pages.get(0), None);
        for index in 0..1000 {
            *pages.get_mut(index) = index as u32;
        }
        let before = pages.clone();
        *pages.get_mut(130) = 7;
        assert_eq!((pages.get(130), before.get(130)), (Some(&7), Some(&130)));
        let shared = pages.0.iter().zip(&before.0);
        let copied = shared.filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(copied.count(), 1);
        let all = (0..1000).filter(|index| *index != 130);
        assert!(
            all.clone()
                .all(|index| pages.get(index) == Some(&(index as u32)))
        );
    }

    #[test]
    fn what_was_not_written_is_the_default() {
        let mut pages = Pages::<u32>::default();
        *pages.get_mut(200) = 1;
        assert_eq!(pages.get(199), Some(&0));
        assert_eq!(pages.get(4 * PAGE), None);
    }
}
