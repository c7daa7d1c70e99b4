//! Versions behind the current ones: policies speak of the rows of current ones, and are asked as if each were that.

use super::{Ground, Said, WHO, said_by_s3};
use crate::harness::Client;
use crate::supabase::{As, U1, U2};

/// Who may see, change and remove what says so of itself in its metadata, or what one wrote oneself.
const POLICIES: &str = "
CREATE POLICY told_read ON storage.objects FOR SELECT TO authenticated
    USING (bucket_id = 'kept' AND (user_metadata->>'shown' = 'yes' OR owner_id = (SELECT auth.uid()::text)));
CREATE POLICY told_new ON storage.objects FOR INSERT TO authenticated WITH CHECK (bucket_id = 'kept');
CREATE POLICY told_set ON storage.objects FOR UPDATE TO authenticated
    USING (bucket_id = 'kept' AND owner_id = (SELECT auth.uid()::text)) WITH CHECK (bucket_id = 'kept');
CREATE POLICY told_gone ON storage.objects FOR DELETE TO authenticated
    USING (bucket_id = 'kept' AND owner_id = (SELECT auth.uid()::text));
";

async fn version_of(client: &Client, key: &str, shown: &str) -> String {
    let call = client.call("PUT", &format!("/kept/{key}")).header("x-amz-meta-shown", shown);
    let put = call.body(format!("is shown: {shown}")).send().await.expect(200);
    put.header("x-amz-version-id").expect("a version").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_what_it_would_be_as_the_current_one() {
    let Some(ground) = Ground::start("a_version_is_what_it_would_be").await else { return };
    let root = ground.site.server.root();
    root.create_bucket("kept").await.expect(200);
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    root.call("PUT", "/kept").query("versioning", "").body(on).send().await.expect(200);
    ground.superuser(POLICIES).await;
    let [one, two, anon] = [As::User(U1), As::User(U2), As::Anon].map(|who| ground.s3(who));
    // The oldest is the first user's, then root's own: one that is shown and two that are not.
    let hers = version_of(&one, "k", "no").await;
    let shown = version_of(&root, "k", "yes").await;
    let hidden = version_of(&root, "k", "no").await;
    let current = version_of(&root, "k", "no").await;
    let before = ground.names(As::Service, "SELECT version || updated_at FROM storage.objects ORDER BY id", &[]).await;
    let get = |client: Client, version: String| async move {
        said_by_s3(&client.call("GET", "/kept/k").query("versionId", &version).send().await)
    };
    for (client, sees) in [
        (&one, vec![&hers, &shown]),
        (&two, vec![&shown]),
        (&anon, vec![]),
        (&root, vec![&hers, &shown, &hidden, &current]),
    ] {
        for version in [&hers, &shown, &hidden, &current] {
            let wanted = if sees.contains(&version) { Said::Yes } else { Said::Hidden };
            assert_eq!(get(client.clone(), version.clone()).await, wanted);
        }
        let listed = client.call("GET", "/kept").query("versions", "").send().await.expect(200);
        let mut told = listed.elements("VersionId");
        let mut wanted: Vec<String> = sees.into_iter().cloned().collect();
        told.sort();
        wanted.sort();
        assert_eq!(told, wanted);
    }
    assert_eq!(said_by_s3(&one.get("kept", "k").await), Said::Hidden, "the current one is not shown");
    let after = ground.names(As::Service, "SELECT version || updated_at FROM storage.objects ORDER BY id", &[]).await;
    assert_eq!(after, before, "a question leaves nothing");
    let tag = |client: Client, version: String| async move {
        let text = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
        let call = client.call("PUT", "/kept/k").query("tagging", "").query("versionId", &version);
        said_by_s3(&call.body(text).send().await)
    };
    let remove = |client: Client, version: String| async move {
        said_by_s3(&client.call("DELETE", "/kept/k").query("versionId", &version).send().await)
    };
    for client in [&two, &anon] {
        assert_ne!(tag(client.clone(), hers.clone()).await, Said::Yes);
        for version in [&hers, &shown, &hidden, &current] {
            assert_eq!(remove(client.clone(), version.clone()).await, Said::No);
        }
        assert_eq!(said_by_s3(&client.delete("kept", "k").await), Said::No, "no marker either");
    }
    assert_eq!(tag(one.clone(), shown.clone()).await, Said::No);
    assert_eq!(tag(one.clone(), hers.clone()).await, Said::Yes);
    assert_eq!(remove(one.clone(), shown.clone()).await, Said::No);
    assert_eq!(remove(one.clone(), hers.clone()).await, Said::Yes);
    assert_eq!(get(root.clone(), hers.clone()).await, Said::Hidden, "it is gone");
    assert_eq!(root.get("kept", "k").await.expect(200).text(), "is shown: no");
    // What one may delete gets a marker, which is what there is for everyone then.
    let mine = version_of(&one, "own", "no").await;
    let deleted = one.delete("kept", "own").await.expect(204);
    assert_eq!(deleted.header("x-amz-delete-marker"), Some("true"));
    assert_eq!(get_version(&one, "own", &mine).await, Said::Yes);
    assert_eq!(get_version(&two, "own", &mine).await, Said::Hidden);
    for who in WHO {
        let seen = ground.seen(who, "kept").await;
        assert_eq!(ground.s3(who).keys_of("kept", "").await, seen, "{who:?}");
    }
}

async fn get_version(client: &Client, key: &str, version: &str) -> Said {
    said_by_s3(&client.call("GET", &format!("/kept/{key}")).query("versionId", version).send().await)
}
