//! Pictures of organizations, from the request that brings one to the browser that shows it.

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::QUIET;
use hyper::Method;
use local::client::{Answer, request};
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

const ACME: &str = "/api/0/organizations/acme/";
const MIB: usize = 1024 * 1024;

/// Something that begins like a PNG of this size, and has so many bytes.
fn png((width, height): (u32, u32), bytes: usize) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    png.extend((png.len()..bytes).map(|n| (n % 251) as u8));
    png
}

fn gif(side: u16) -> Vec<u8> {
    let mut gif = b"GIF89a".to_vec();
    gif.extend([side.to_le_bytes(), side.to_le_bytes()].concat());
    gif.extend([0; 100]);
    gif
}

fn jpeg(side: u16) -> Vec<u8> {
    // A segment of an application's before the one with the size.
    let mut jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08".to_vec();
    jpeg.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    jpeg.extend([0; 100]);
    jpeg
}

/// What uploads a picture that takes two pieces.
pub(crate) fn upload() -> Value {
    json!({ "avatar": STANDARD.encode(png((512, 512), 400_000)) })
}

async fn put(world: &World, body: &Value) -> (u16, Value) {
    let answer = world.send(Method::PUT, ACME, Some(body)).await;
    (answer.status.as_u16(), answer.json())
}

/// Changes something, and gives the avatar then.
async fn set(world: &World, body: Value) -> Value {
    let (status, mut answer) = put(world, &body).await;
    assert_eq!(status, 200, "{answer}");
    answer["avatar"].take()
}

/// A picture as a browser asks for it: without a token.
async fn look(url: &str) -> Answer {
    let answer = request(Method::GET, url, &[], "").await;
    answer.expect("the front answers")
}

fn url(avatar: &Value) -> String {
    avatar["avatarUrl"].as_str().expect("a URL").to_owned()
}

/// How many items there are of rows that lead to a picture, and of pieces.
fn stored(world: &World) -> (usize, usize) {
    let count = |attribute: &str, prefix: &str| {
        let items = world.items();
        let begins = |item: &&Value| {
            let text = item[attribute]["S"].as_str();
            text.is_some_and(|text| text.starts_with(prefix))
        };
        items.iter().filter(begins).count()
    };
    (count("SK", "AVATAR#"), count("SK", "PIECE#"))
}

#[tokio::test]
async fn an_uploaded_picture_is_shown_to_whoever_has_its_address() {
    let world = World::start().await;
    let none = json!({ "avatarType": "letter_avatar", "avatarUuid": null, "avatarUrl": null });
    assert_eq!(world.get(ACME).await.json()["avatar"], none);
    let lines = world.get(&format!("{ACME}audit-logs/")).await.json();

    // As large as one may be, as a browser writes it, in lines as programs break them.
    let large = png((1024, 1024), MIB);
    let in_lines = |text: String| {
        text.as_bytes()
            .chunks(76)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
            .join(&b'\n')
    };
    let broken = in_lines(STANDARD.encode(&large));
    let broken = String::from_utf8(broken).expect("base64");
    let text = format!("data:image/png;base64,{broken}");
    let first = set(&world, json!({ "avatarType": "upload", "avatar": text })).await;
    assert_eq!(first["avatarType"], "upload");
    let id = first["avatarUuid"].as_str().expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    let address = format!("{}/organization-avatar/{id}/", world.ready.base_url);
    assert_eq!(url(&first), address);
    let listed = world.get("/api/0/organizations/").await.json();
    assert_eq!(listed[0]["avatar"], first);
    assert_eq!(world.get(ACME).await.json()["avatar"], first);
    let seen = look(&address).await;
    assert_eq!(
        (seen.status.as_u16(), seen.body.as_ref()),
        (200, &large[..])
    );
    for (name, value) in [
        ("content-type", "image/png"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    assert_eq!(stored(&world), (1, 3));

    // The same one again is no other one.
    assert_eq!(set(&world, json!({ "avatar": text })).await, first);
    assert_eq!(stored(&world), (1, 3));
    // A letter takes nothing away.
    let letter = set(&world, json!({ "avatarType": "letter_avatar" })).await;
    assert_eq!(
        (&letter["avatarType"], &letter["avatarUuid"]),
        (&json!("letter_avatar"), &first["avatarUuid"])
    );
    let same = json!({ "avatarType": null, "avatar": null, "enhancedPrivacy": false });
    assert_eq!(set(&world, same).await, letter);
    assert_eq!(set(&world, json!({ "avatarType": "upload" })).await, first);

    // Each other one takes the place of the one before.
    let mut before = first;
    for (bytes, kind) in [
        (jpeg(256), "image/jpeg"),
        (gif(1024), "image/gif"),
        (png((300, 300), 100), "image/png"),
    ] {
        let body = json!({ "avatar": STANDARD.encode(&bytes), "avatarType": "upload" });
        let avatar = set(&world, body).await;
        assert_eq!(look(&url(&before)).await.status.as_u16(), 404);
        let seen = look(url(&avatar).trim_end_matches('/')).await;
        assert_eq!(
            (seen.status.as_u16(), seen.body.as_ref()),
            (200, &bytes[..])
        );
        assert_eq!(seen.headers["content-type"], kind);
        assert_eq!(stored(&world), (1, 1));
        before = avatar;
    }
    let letter = json!({ "avatarType": "letter_avatar", "avatar": STANDARD.encode(jpeg(400)) });
    let letter = set(&world, letter).await;
    assert_eq!(letter["avatarType"], "letter_avatar");
    assert_eq!(look(&url(&letter)).await.status.as_u16(), 200);
    // None of it is told in the audit log.
    world.stack.dynamodb().catch_up();
    let after = world.get(&format!("{ACME}audit-logs/")).await.json();
    assert_eq!(after, lines);

    let base = &world.ready.base_url;
    let missing = json!({ "detail": "The requested resource does not exist" });
    for path in [
        "0".repeat(32),
        "x".repeat(32),
        "7".to_owned(),
        "a/b".to_owned(),
    ] {
        let answer = look(&format!("{base}/organization-avatar/{path}/")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (404, missing.clone())
        );
    }
    let posted = request(Method::POST, &url(&letter), &[], "").await;
    let posted = posted.expect("the front answers");
    let says = json!({ "detail": "Method \"POST\" not allowed." });
    assert_eq!((posted.status.as_u16(), posted.json()), (405, says));
    world.finish().await;
}

#[tokio::test]
async fn what_is_no_picture_of_an_organization_is_refused_and_nothing_is_kept() {
    let world = World::quiet().await;
    let before = world.items();
    let encoded = |bytes: Vec<u8>| json!({ "avatar": STANDARD.encode(bytes) });
    let mut short = gif(300);
    short.truncate(8);
    for (body, field, says) in [
        (
            json!({ "avatarType": "upload" }),
            "avatarType",
            "no uploaded picture",
        ),
        (
            json!({ "avatarType": "upload", "avatar": "" }),
            "avatarType",
            "no uploaded picture",
        ),
        (
            json!({ "avatarType": "gravatar" }),
            "avatarType",
            "not a valid choice",
        ),
        (json!({ "avatar": "a?" }), "avatar", "Not valid base64"),
        (json!({ "avatar": ["a"] }), "avatar", "Not a valid string"),
        (
            json!({ "avatar": "data:image/png,abc" }),
            "avatar",
            "one of base64",
        ),
        (
            json!({ "avatarType": "upload", "avatar": "aGk=" }),
            "avatar",
            "GIF, JPEG or PNG",
        ),
        (encoded(short), "avatar", "GIF, JPEG or PNG"),
        (
            encoded(b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
            "avatar",
            "GIF, JPEG or PNG",
        ),
        (encoded(png((300, 301), 100)), "avatar", "300 x 301 pixels"),
        (encoded(gif(255)), "avatar", "256 to 1024"),
        (encoded(jpeg(1025)), "avatar", "256 to 1024"),
        (
            encoded(png((512, 512), MIB + 1)),
            "avatar",
            "at most 1048576 bytes (1 MiB)",
        ),
        (
            encoded(png((512, 512), 4_000_000)),
            "avatar",
            "this one has 4000000",
        ),
    ] {
        let mut body = body;
        // Would be changed if anything were.
        body["enhancedPrivacy"] = true.into();
        let (status, answer) = put(&world, &body).await;
        assert_eq!(status, 400, "{field}: {answer}");
        let fields = answer.as_object().expect("fields");
        assert_eq!(fields.keys().collect::<Vec<_>>(), [field], "{says}");
        let message = answer[field][0].as_str().unwrap_or_default();
        assert!(message.contains(says), "{says}: {message}");
    }
    // All that is wrong is said at once.
    let picture = STANDARD.encode(gif(300));
    for (avatar, wrong) in [("aGk=", 2), (&picture, 1)] {
        let body = json!({ "avatar": avatar, "slug": "a" });
        let (status, answer) = put(&world, &body).await;
        let count = answer.as_object().map(|it| it.len());
        assert_eq!((status, count), (400, Some(wrong)), "{answer}");
    }
    // Far too large a one does not come through the gateway, and other fields may not be large.
    let (status, _) = put(&world, &encoded(png((512, 512), 5_000_001))).await;
    assert_eq!(status, 413);
    let body = json!({ "avatar": picture, "name": "n".repeat(70_000) });
    let large = json!({ "detail": "The request is too large." });
    assert_eq!(put(&world, &body).await, (413, large));
    // Nobody uploads one who may not change the organization.
    let reads = token(
        &world,
        "reads",
        ("organization", "acme"),
        json!(["org:read"]),
    )
    .await;
    let body = json!({ "avatar": picture });
    let answer = world
        .request_as(&reads, Method::PUT, ACME, Some(&body))
        .await;
    assert_eq!(answer.status.as_u16(), 403);
    let kept = |items: Vec<Value>| {
        let token = |item: &Value| item.to_string().contains("TOKEN#");
        items
            .into_iter()
            .filter(|it| !token(it))
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(world.items()), kept(before));
    world.finish().await;
}

#[tokio::test]
async fn what_an_upload_leaves_behind_goes_with_a_later_one() {
    let world = World::quiet().await;
    let id = world.get(ACME).await.json()["id"].take();
    let lost = |id: &Value, picture: char, pieces: usize| {
        let picture = picture.to_string().repeat(32);
        let now = world.stack.clock().now().millis().to_string();
        let row = json!({
            "PK": { "S": format!("ORG#{}", id.as_str().expect("an id")) },
            "SK": { "S": format!("AVATAR#{picture}") },
            "picture": { "S": picture }, "created": { "N": now },
        });
        let piece = move |n: usize| {
            json!({
                "PK": { "S": format!("AVATAR#{picture}") }, "SK": { "S": format!("PIECE#{n:02}") },
                "kind": { "S": "png" }, "pieces": { "N": "3" }, "bytes": { "B": "AAAA" },
            })
        };
        [row]
            .into_iter()
            .chain((0..pieces).map(piece))
            .collect::<Vec<_>>()
    };
    // Cut off before the first piece, and before the last one.
    world.put_items(lost(&id, 'a', 0)).await;
    world.put_items(lost(&id, 'b', 2)).await;
    let part = format!(
        "{}/organization-avatar/{}/",
        world.ready.base_url,
        "b".repeat(32)
    );
    assert_eq!(look(&part).await.status.as_u16(), 404, "never a part");
    world.stack.clock().advance(QUIET + 1);
    // Perhaps not yet at its end.
    world.put_items(lost(&id, 'c', 3)).await;
    assert_eq!(stored(&world), (3, 5));
    let avatar = set(&world, upload()).await;
    assert_eq!(stored(&world), (2, 5));
    world.stack.clock().advance(QUIET + 1);
    assert_eq!(set(&world, upload()).await, avatar);
    assert_eq!(stored(&world), (2, 5), "nothing was uploaded");
    let other = set(&world, json!({ "avatar": STANDARD.encode(gif(256)) })).await;
    assert_ne!(other, avatar);
    assert_eq!(stored(&world), (1, 1));
    world.finish().await;
}

#[tokio::test]
async fn of_uploads_at_the_same_time_one_stays() {
    let world = World::quiet().await;
    let bodies = [256, 300, 400, 500].map(|side| json!({ "avatar": STANDARD.encode(gif(side)) }));
    let [a, b, c, d] = &bodies;
    let [a, b, c, d] = futures_util::future::join_all([a, b, c, d].map(|body| put(&world, body)))
        .await
        .try_into()
        .expect("four answers");
    for (status, answer) in [a, b, c, d] {
        assert_eq!(status, 200, "{answer}");
    }
    let shown = world.get(ACME).await.json()["avatar"].take();
    assert_eq!(look(&url(&shown)).await.status.as_u16(), 200);
    assert_eq!(stored(&world), (1, 1));
    world.finish().await;
}

#[tokio::test]
async fn an_organization_that_is_restored_while_it_goes_shows_a_letter_and_takes_the_picture_again()
{
    let world = World::start().await;
    let first = set(&world, upload()).await;
    let set_status = async |status: &str| {
        let org = |item: &&Value| item["SK"]["S"] == "META" && item["slug"]["S"] == "acme";
        let mut item = world.items().iter().find(org).expect("acme").clone();
        item["status"] = json!({ "S": status });
        world.put_items(vec![item]).await;
    };
    set_status("deletion_in_progress").await;
    let pieces = world.items().into_iter();
    let pieces = pieces.filter(|item| {
        item["PK"]["S"]
            .as_str()
            .unwrap_or_default()
            .starts_with("AVATAR#")
    });
    world.remove_items(pieces.collect()).await;
    let restored = set(&world, json!({ "cancelDeletion": true })).await;
    let none = json!({ "avatarType": "letter_avatar", "avatarUuid": null, "avatarUrl": null });
    assert_eq!(restored, none);
    let again = set(&world, upload()).await;
    assert_ne!(again["avatarUuid"], first["avatarUuid"]);
    assert_eq!(look(&url(&again)).await.status.as_u16(), 200);

    // The same in one request, before anything of it has gone.
    set_status("deletion_in_progress").await;
    let mut body = upload();
    body["cancelDeletion"] = true.into();
    let shown = set(&world, body).await;
    assert_eq!(shown["avatarType"], "upload");
    assert_eq!(look(&url(&shown)).await.status.as_u16(), 200);
    world.finish().await;
}
