//! The steps of natural layout: every outcome, every replay, and races.

use futures_util::future::join_all;
use longshore::model::id::VersionId;
use longshore::model::place::Stamp;
use longshore::provider::{Error, LaidOut};

use super::bed::{Bed, assert_error, behaviours, key, natural};

behaviours![
    a_version_moves_to_a_free_key,
    a_replay_changes_nothing,
    the_displaced_stamp_is_freed,
    an_older_version_of_ours_is_freed,
    a_newer_version_of_ours_stays,
    an_outside_edit_is_kept,
    an_outside_edit_of_the_displaced_bytes_is_kept,
    a_record_of_another_key_is_no_version_of_ours,
    a_file_and_a_directory_of_one_name_clash,
    nothing_at_both_places_is_missing,
    a_key_whose_file_was_removed_outside_is_free,
    taking_aside_moves_the_bytes,
    taking_aside_other_bytes_puts_them_back,
    a_version_comes_back_after_it_was_taken_aside,
    pruning_spares_what_is_in_use,
    racing_lay_outs_end_with_the_newest,
    racing_lay_outs_of_one_version_agree,
    lay_outs_race_with_pruning,
];

async fn a_version_moves_to_a_free_key(bed: &Bed<'_>) {
    for name in ["k", "a/b/c/d"] {
        let put = bed.place(name, b"bytes", 1).await;
        assert_eq!(bed.outside_read(name).expect("others see it"), b"bytes");
        let stat = bed.provider.stat(&bed.container, &natural(name)).await.expect("there");
        assert_eq!((stat.stamp, stat.record), (put.stamp.clone(), Some(put.record.clone())));
        assert_error!(bed.provider.stat(&bed.container, &put.managed()).await, Error::NotFound);
    }
    bed.provider.settle(&bed.container).await.expect("durable");
}

async fn a_replay_changes_nothing(bed: &Bed<'_>) {
    let put = bed.place("k", b"bytes", 1).await;
    let over = Stamp::new("1-2-3");
    for over in [None, Some(&over)] {
        assert_eq!(bed.lay_out(&put, over).await.expect("done"), LaidOut::Done);
    }
    assert_eq!(bed.read(&natural("k"), &put.stamp, 5).await.expect("there"), b"bytes");
    let newer = bed.publish("k", b"newer", 2).await;
    bed.lay_out(&newer, Some(&put.stamp)).await.expect("laid out");
    assert_eq!(bed.lay_out(&put, None).await.expect("nothing to do"), LaidOut::Superseded);
    assert_eq!(bed.outside_read("k").expect("there"), b"newer");
}

async fn the_displaced_stamp_is_freed(bed: &Bed<'_>) {
    bed.outside_write("k", b"was here before");
    let before = bed.provider.stat(&bed.container, &natural("k")).await.expect("there").stamp;
    let put = bed.publish("k", b"bytes", 1).await;
    assert_eq!(bed.lay_out(&put, Some(&before)).await.expect("laid out"), LaidOut::Done);
    assert_eq!(bed.outside_read("k").expect("there"), b"bytes");
    assert_eq!(bed.managed_count().await, 0);
}

async fn an_older_version_of_ours_is_freed(bed: &Bed<'_>) {
    bed.place("k", b"first", 1).await;
    let third = bed.publish("k", b"third", 3).await;
    let second = bed.publish("k", b"second", 2).await;
    assert_eq!(bed.lay_out(&third, Some(&second.stamp)).await.expect("laid out"), LaidOut::Done);
    assert_eq!(bed.outside_read("k").expect("there"), b"third");
    assert_eq!(bed.managed_count().await, 1, "the second waits at its managed place");
}

async fn a_newer_version_of_ours_stays(bed: &Bed<'_>) {
    let newer = bed.place("k", b"newer", 9).await;
    let older = bed.publish("k", b"older", 8).await;
    for over in [None, Some(&older.stamp)] {
        assert_eq!(bed.lay_out(&older, over).await.expect("judged"), LaidOut::Superseded);
        assert_eq!(bed.read(&natural("k"), &newer.stamp, 5).await.expect("stays"), b"newer");
        assert_eq!(bed.read(&older.managed(), &older.stamp, 5).await.expect("stays"), b"older");
    }
}

async fn an_outside_edit_is_kept(bed: &Bed<'_>) {
    bed.outside_write("d/k", b"somebody's work");
    let put = bed.publish("d/k", b"bytes", 1).await;
    let LaidOut::DoneKeeping(name) = bed.lay_out(&put, None).await.expect("laid out") else { panic!("it was freed") };
    assert_eq!(bed.outside.lost(&bed.container, &name).expect("kept"), b"somebody's work");
    assert_eq!(bed.read(&natural("d/k"), &put.stamp, 5).await.expect("there"), b"bytes");
    assert_eq!(bed.managed_count().await, 0);
    bed.outside_write("d/k", b"more of it");
    let second = bed.publish("d/k", b"bytes", 2).await;
    let LaidOut::DoneKeeping(other) = bed.lay_out(&second, Some(&put.stamp)).await.expect("laid out") else {
        panic!("it was freed")
    };
    assert_ne!(name, other);
    assert_eq!(bed.outside.lost(&bed.container, &other).expect("kept"), b"more of it");
}

async fn an_outside_edit_of_the_displaced_bytes_is_kept(bed: &Bed<'_>) {
    let first = bed.place("k", b"first", 1).await;
    bed.outside_write("k", b"FIRST");
    let second = bed.publish("k", b"second", 2).await;
    let LaidOut::DoneKeeping(name) = bed.lay_out(&second, Some(&first.stamp)).await.expect("laid out") else {
        panic!("an edit with a dead record of ours was freed")
    };
    assert_eq!(bed.outside.lost(&bed.container, &name).expect("kept"), b"FIRST");
}

async fn a_record_of_another_key_is_no_version_of_ours(bed: &Bed<'_>) {
    let put = bed.publish("elsewhere", b"other", 1).await;
    let mut step = put.clone();
    step.key = key("k");
    assert_eq!(bed.lay_out(&step, None).await.expect("laid out"), LaidOut::Done);
    let second = bed.publish("k", b"bytes", 2).await;
    assert!(matches!(bed.lay_out(&second, None).await.expect("laid out"), LaidOut::DoneKeeping(_)));
}

async fn a_file_and_a_directory_of_one_name_clash(bed: &Bed<'_>) {
    if bed.provider.capabilities().flat {
        bed.place("a", b"file", 1).await;
        bed.place("a/b", b"below", 1).await;
        assert_eq!((bed.outside_read("a"), bed.outside_read("a/b")), (Some(b"file".into()), Some(b"below".into())));
        return;
    }
    let file = bed.place("a", b"file", 1).await;
    let below = bed.publish("a/b", b"below", 1).await;
    assert_error!(bed.lay_out(&below, None).await, Error::Clash);
    assert_eq!(bed.read(&below.managed(), &below.stamp, 5).await.expect("stays"), b"below");
    assert_error!(bed.provider.stat(&bed.container, &natural("a/b")).await, Error::NotFound);

    bed.provider.take_aside(&bed.container, &file.key, file.version, &file.stamp).await.expect("taken");
    assert_eq!(bed.lay_out(&below, None).await.expect("the name is free"), LaidOut::Done);
    assert_error!(bed.lay_out(&file, None).await, Error::Clash);
    assert_error!(bed.provider.stat(&bed.container, &natural("a")).await, Error::NotFound);
    assert_eq!(bed.read(&file.managed(), &file.stamp, 4).await.expect("stays"), b"file");

    bed.provider.take_aside(&bed.container, &below.key, below.version, &below.stamp).await.expect("taken");
    bed.provider.prune(&bed.container, &below.key).await.expect("pruned");
    assert_eq!(bed.lay_out(&file, None).await.expect("the name is free"), LaidOut::Done);
    assert_eq!(bed.provider.list(&bed.container, "", None, 10).await.expect("listed").files.len(), 1);
}

async fn nothing_at_both_places_is_missing(bed: &Bed<'_>) {
    let put = bed.publish("k/l", b"bytes", 1).await;
    bed.provider.delete_managed(&bed.container, put.version, None).await.expect("freed");
    assert_error!(bed.lay_out(&put, None).await, Error::NotFound);
    bed.outside_write("k/l", b"other");
    assert_eq!(bed.lay_out(&put, None).await.expect("judged"), LaidOut::Superseded);
    assert_eq!(bed.outside_read("k/l").expect("untouched"), b"other");
}

async fn a_key_whose_file_was_removed_outside_is_free(bed: &Bed<'_>) {
    let first = bed.place("d/k", b"first", 1).await;
    bed.outside.remove(&bed.container, "d/k");
    assert_error!(bed.read(&natural("d/k"), &first.stamp, 5).await, Error::NotFound);
    assert_error!(bed.lay_out(&first, None).await, Error::NotFound);
    let second = bed.publish("d/k", b"second", 2).await;
    assert_eq!(bed.lay_out(&second, Some(&first.stamp)).await.expect("laid out"), LaidOut::Done);
    assert_eq!(bed.outside_read("d/k").expect("there"), b"second");
}

async fn taking_aside_moves_the_bytes(bed: &Bed<'_>) {
    let put = bed.place("d/k", b"bytes", 1).await;
    for _ in 0..2 {
        bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken, or there");
        assert_error!(bed.provider.stat(&bed.container, &natural("d/k")).await, Error::NotFound);
        let stat = bed.provider.stat(&bed.container, &put.managed()).await.expect("at its managed place");
        assert_eq!((stat.stamp, stat.record), (put.stamp.clone(), Some(put.record.clone())));
    }
    bed.outside_write("d/k", b"new work");
    bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("is there already");
    assert_eq!(bed.outside_read("d/k").expect("untouched"), b"new work");
    let taken = bed.provider.take_aside(&bed.container, &key("nothing"), VersionId::fresh(), &put.stamp).await;
    assert_error!(taken, Error::NotFound);
}

async fn taking_aside_other_bytes_puts_them_back(bed: &Bed<'_>) {
    let put = bed.place("k", b"bytes", 1).await;
    bed.outside_write("k", b"an edit");
    let taken = bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await;
    assert_error!(taken, Error::StampMismatch);
    assert_eq!(bed.outside_read("k").expect("there again"), b"an edit");
    assert_eq!(bed.managed_count().await, 0);
}

async fn a_version_comes_back_after_it_was_taken_aside(bed: &Bed<'_>) {
    let put = bed.place("k", b"bytes", 1).await;
    bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken");
    assert_eq!(bed.lay_out(&put, None).await.expect("laid out again"), LaidOut::Done);
    bed.provider.take_aside(&bed.container, &put.key, put.version, &put.stamp).await.expect("taken");
    let mut moved = put.clone();
    moved.key = key("other/k");
    assert_eq!(bed.lay_out(&moved, None).await.expect("laid out elsewhere"), LaidOut::Done);
    assert_eq!(bed.read(&natural("other/k"), &put.stamp, 5).await.expect("there"), b"bytes");
}

async fn pruning_spares_what_is_in_use(bed: &Bed<'_>) {
    bed.place("a/b/c", b"stays", 1).await;
    let gone = bed.place("a/b/d/e/f", b"goes", 1).await;
    bed.provider.take_aside(&bed.container, &gone.key, gone.version, &gone.stamp).await.expect("taken");
    bed.provider.prune(&bed.container, &gone.key).await.expect("pruned");
    bed.provider.prune(&bed.container, &gone.key).await.expect("nothing to prune");
    bed.provider.prune(&bed.container, &key("a/b/c")).await.expect("in use");
    assert_eq!(bed.outside_read("a/b/c").expect("there"), b"stays");
    bed.place("a/b/d", b"a file now", 1).await;
}

async fn racing_lay_outs_end_with_the_newest(bed: &Bed<'_>) {
    // Where the storage judges no conditions, those who share it take turns.
    if !bed.provider.capabilities().conditional {
        return;
    }
    for round in 0..20 {
        let name = format!("k{round}");
        let first = bed.place(&name, b"0", 0).await;
        let mut puts = Vec::new();
        for counter in 1..9_u64 {
            puts.push(bed.publish(&name, counter.to_string().as_bytes(), counter).await);
        }
        let ends = join_all(puts.iter().map(|put| bed.lay_out(put, Some(&first.stamp)))).await;
        for end in ends {
            let end = end.expect("judged");
            assert!(matches!(end, LaidOut::Done | LaidOut::Superseded), "ours was taken for an outside edit: {end:?}");
        }
        // Whoever was last may have been looking while another put the newest back: a replay settles it.
        for put in puts.iter().rev() {
            bed.lay_out(put, None).await.expect("judged");
        }
        assert_eq!(bed.outside_read(&name).expect("there"), b"8");
    }
}

async fn racing_lay_outs_of_one_version_agree(bed: &Bed<'_>) {
    // Where the storage judges no conditions, those who share it take turns.
    if !bed.provider.capabilities().conditional {
        return;
    }
    for round in 0..20 {
        let name = format!("k{round}");
        let old = bed.place(&name, b"old", 1).await;
        let put = bed.publish(&name, b"new", 2).await;
        for end in join_all((0..8).map(|_| bed.lay_out(&put, Some(&old.stamp)))).await {
            // One that looks while another has the file between two names may find it nowhere, never lose it.
            assert!(matches!(end, Ok(LaidOut::Done | LaidOut::Superseded)), "{end:?}");
        }
        assert_eq!(bed.lay_out(&put, Some(&old.stamp)).await.expect("settled"), LaidOut::Done);
        assert_eq!(bed.read(&natural(&name), &put.stamp, 3).await.expect("there"), b"new");
    }
}

async fn lay_outs_race_with_pruning(bed: &Bed<'_>) {
    let mut puts = Vec::new();
    for n in 0..64 {
        puts.push(bed.publish(&format!("new/directory/k{n}"), b"bytes", 1).await);
    }
    let lay = join_all(puts.iter().map(|put| bed.lay_out(put, None)));
    let prune = join_all(puts.iter().map(|put| bed.provider.prune(&bed.container, &put.key)));
    let (laid, pruned) = futures_util::join!(lay, prune);
    for end in laid {
        assert_eq!(end.expect("laid out"), LaidOut::Done);
    }
    for end in pruned {
        end.expect("pruned");
    }
    let page = bed.provider.list(&bed.container, "new/directory/", None, 100).await.expect("listed");
    assert_eq!(page.files.len(), 64);
}
