//! The API over a real `persist`.

#![allow(clippy::unwrap_used)]

use artel_client::{Call, Channel, User};
use artel_handle::testing::LocalMesh;
use artel_persist::testing::TestDatabase;
use artel_proto::{{name}}::{{name}}_service_client::{{Name}}ServiceClient;
use artel_proto::{{name}}::{Create{{Entity}}Request, Get{{Entity}}Request, List{{Entities}}Request, {{Entity}}};
use artel_util::{Error, new_id};
use tonic::{Code, Response, Status};

/// `persist` and `{{name}}` over a database of their own.
struct World {
    database: TestDatabase,
    mesh: LocalMesh,
}

impl World {
    async fn start() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start("").await.unwrap();
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        mesh.serve(artel_{{name}}::service(mesh.host("{{name}}")).await.unwrap()).await.unwrap();
        Self { database, mesh }
    }

    fn person(&self, id: &str) -> Person {
        let host = self.mesh.host("test");
        let user = User { id: id.to_owned(), roles: Vec::new(), locale: "en".to_owned() };
        Person {
            api: {{Name}}ServiceClient::new(host.channel("{{name}}")),
            call: Call { user: Some(user), ..host.call() },
        }
    }

    async fn events(&self) -> i64 {
        let told = "SELECT count(*) FROM outbox WHERE name = '{{entity}}.created'";
        self.database.superuser().await.unwrap().query_one(told, &[]).await.unwrap().get(0)
    }
}

/// Somebody signed in.
struct Person {
    api: {{Name}}ServiceClient<Channel>,
    call: Call,
}

impl Person {
    async fn create(&self, name: &str, key: &str) -> Result<{{Entity}}, Error> {
        let asked = Create{{Entity}}Request { name: name.to_owned(), idempotency_key: key.to_owned() };
        let answer = self.api.clone().create_{{entity}}(self.call.request(asked)).await;
        read(answer).map(|answer| answer.{{entity}}.unwrap())
    }

    async fn get(&self, id: &str) -> Result<{{Entity}}, Error> {
        let asked = Get{{Entity}}Request { id: id.to_owned() };
        let answer = self.api.clone().get_{{entity}}(self.call.request(asked)).await;
        read(answer).map(|answer| answer.{{entity}}.unwrap())
    }

    async fn list(&self, page_size: i32, page_token: &str) -> (Vec<String>, String) {
        let asked = List{{Entities}}Request { page_size, page_token: page_token.to_owned() };
        let answer = self.api.clone().list_{{entities}}(self.call.request(asked)).await;
        let answer = read(answer).unwrap();
        (answer.{{entities}}.into_iter().map(|one| one.name).collect(), answer.next_page_token)
    }
}

fn read<T>(answer: Result<Response<T>, Status>) -> Result<T, Error> {
    answer.map(Response::into_inner).map_err(Error::from)
}

#[tokio::test]
async fn the_same_key_makes_one_and_tells_of_it_once() {
    let world = World::start().await;
    let anna = world.person("anna");
    let made = anna.create("Tea", "key").await.unwrap();
    assert_eq!(anna.create("Tea", "key").await.unwrap(), made);
    assert_eq!(anna.get(&made.id).await.unwrap(), made);
    assert_eq!(world.events().await, 1);
    assert_eq!(anna.create("Coffee", "key").await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_list_is_the_callers_own_and_has_pages() {
    let world = World::start().await;
    let (anna, boris) = (world.person("anna"), world.person("boris"));
    for name in ["one", "two", "three"] {
        anna.create(name, "").await.unwrap();
    }
    boris.create("other", "").await.unwrap();
    let (first, token) = anna.list(2, "").await;
    let (rest, end) = anna.list(2, &token).await;
    assert_eq!((first, rest, end.as_str()), (vec!["three".into(), "two".into()], vec!["one".into()], ""));
    assert_eq!(boris.list(0, "").await.0, ["other"]);
}

#[tokio::test]
async fn what_is_not_the_callers_is_not_there() {
    let world = World::start().await;
    let made = world.person("anna").create("Tea", "").await.unwrap();
    for id in [made.id, new_id()] {
        let refused = world.person("boris").get(&id).await.unwrap_err();
        assert_eq!((refused.code(), refused.reason()), (Code::NotFound, "{{ENTITY}}_NOT_FOUND"));
    }
}

#[tokio::test]
async fn a_wrong_name_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let anna = world.person("anna");
    for name in ["", "  ", &"a".repeat(201)] {
        let refused = anna.create(name, "").await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, "name"));
    }
    assert!(anna.list(0, "").await.0.is_empty());
}
