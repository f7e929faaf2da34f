//! People and goods that tests make for themselves.

use serde_json::{Value, json};

use crate::support::{Mesh, unique};

/// A person who is signed in.
#[derive(Clone)]
pub struct Person {
    pub mesh: Mesh,
    pub email: String,
    pub token: String,
    pub refresh_token: String,
}

pub const PASSWORD: &str = "correct horse battery";

impl Person {
    /// Somebody new.
    pub async fn register(mesh: &Mesh, locale: &str) -> Self {
        let email = format!("{}@example.com", unique("p"));
        let body = json!({"email": email, "password": PASSWORD, "displayName": "Anna", "locale": locale});
        let answer = mesh.post("/api/v1/auth/register", None, &body).await.ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            mesh: mesh.clone(),
            token: text(&answer["accessToken"]),
            refresh_token: text(&answer["refreshToken"]),
            email,
        }
    }

    /// Somebody who may write the catalogue.
    pub async fn editor(mesh: &Mesh) -> Self {
        Self::with_roles(mesh, ["catalog_editor"]).await
    }

    /// Somebody with these roles.
    pub async fn with_roles(mesh: &Mesh, roles: impl IntoIterator<Item = &str>) -> Self {
        let mut person = Self::register(mesh, "en").await;
        for role in roles {
            mesh.artel(&["role", "grant", &person.email, role]);
        }
        let body = json!({"email": person.email, "password": PASSWORD});
        let answer = mesh.post("/api/v1/auth/login", None, &body).await.ok();
        person.token = answer["accessToken"].as_str().unwrap().to_owned();
        person
    }

    /// Puts a product on sale.
    pub async fn product(&self, name: &str, price: i64, stock: i32) -> String {
        let body = json!({"name": name, "price": {"amountMinor": price.to_string(), "currency": "RUB"}, "stock": stock});
        let answer = self.mesh.post("/api/v1/products", Some(&self.token), &body).await.ok();
        answer["product"]["id"].as_str().unwrap().to_owned()
    }

    /// Orders one product.
    pub async fn order(&self, product_id: &str, quantity: i32) -> crate::support::Answer {
        let body = json!({"items": [{"productId": product_id, "quantity": quantity}], "idempotencyKey": unique("k")});
        self.mesh.post("/api/v1/orders", Some(&self.token), &body).await
    }
}
