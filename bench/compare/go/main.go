// Command compare is the order of a shop on net/http, pgx and amqp091.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"sort"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

type item struct {
	ProductID string `json:"productId"`
	Quantity  int    `json:"quantity"`
	Price     int64  `json:"priceMinor,string,omitempty"`
}

type request struct {
	Items          []item `json:"items"`
	IdempotencyKey string `json:"idempotencyKey"`
}

type order struct {
	ID     string `json:"id"`
	Number string `json:"number"`
	UserID string `json:"userId"`
	Status string `json:"status"`
	Items  []item `json:"items"`
	Total  int64  `json:"totalMinor,string"`
}

var errSoldOut = errors.New("sold out")

type shop struct {
	pool *pgxpool.Pool
	wake chan struct{}
}

func newID() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic(err)
	}
	now := time.Now().UnixMilli()
	for i := 0; i < 6; i++ {
		id[i] = byte(now >> (40 - 8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func (s *shop) place(ctx context.Context, user string, asked request) (answer []byte, err error) {
	sort.Slice(asked.Items, func(i, j int) bool { return asked.Items[i].ProductID < asked.Items[j].ProductID })
	placed := order{ID: newID(), UserID: user, Status: "PLACED"}
	placed.Number = placed.ID[24:]
	err = s.pool.BeginFunc(ctx, func(tx pgx.Tx) error {
		var known []byte
		err := tx.QueryRow(ctx, "SELECT answer FROM idempotency WHERE key = $1", asked.IdempotencyKey).Scan(&known)
		if err == nil {
			answer = known
			return nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		for _, wanted := range asked.Items {
			var stock int
			err := tx.QueryRow(ctx, `UPDATE products SET stock = stock - $2, version = version + 1, update_time = now()
				WHERE id = $1 AND stock >= $2 RETURNING price_minor, stock`, wanted.ProductID, wanted.Quantity).
				Scan(&wanted.Price, &stock)
			if errors.Is(err, pgx.ErrNoRows) {
				return errSoldOut
			}
			if err != nil {
				return err
			}
			placed.Items = append(placed.Items, wanted)
			placed.Total += wanted.Price * int64(wanted.Quantity)
			before, after := map[string]int{"stock": stock + wanted.Quantity}, map[string]int{"stock": stock}
			if err := logChange(ctx, tx, "product", wanted.ProductID, before, after, user); err != nil {
				return err
			}
		}
		items, err := json.Marshal(placed.Items)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO orders (id, number, user_id, status, items, total_minor)
			VALUES ($1, $2, $3, $4, $5, $6)`,
			placed.ID, placed.Number, user, placed.Status, string(items), placed.Total); err != nil {
			return err
		}
		if err := logChange(ctx, tx, "order", placed.ID, nil, placed, user); err != nil {
			return err
		}
		if answer, err = json.Marshal(map[string]order{"order": placed}); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO outbox (id, name, key, body) VALUES ($1, 'order.placed', $2, $3)",
			newID(), placed.ID, string(answer)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO idempotency VALUES ($1, $2, now() + interval '7 days')",
			asked.IdempotencyKey, string(answer))
		return err
	})
	if err == nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return answer, err
}

func logChange(ctx context.Context, tx pgx.Tx, entity, id string, before, after interface{}, actor string) error {
	was, err := json.Marshal(before)
	if err != nil {
		return err
	}
	is, err := json.Marshal(after)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO change_log (entity, entity_id, before, after, actor) VALUES ($1, $2, $3, $4, $5)",
		entity, id, string(was), string(is), actor)
	return err
}

func (s *shop) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	var asked request
	if err := json.NewDecoder(in.Body).Decode(&asked); err != nil || len(asked.Items) == 0 || asked.IdempotencyKey == "" {
		http.Error(out, "bad request", http.StatusBadRequest)
		return
	}
	answer, err := s.place(in.Context(), in.Header.Get("x-user"), asked)
	switch {
	case errors.Is(err, errSoldOut):
		http.Error(out, err.Error(), http.StatusConflict)
	case err != nil:
		log.Print(err)
		http.Error(out, "internal", http.StatusInternalServerError)
	default:
		out.Header().Set("content-type", "application/json")
		_, _ = out.Write(answer)
	}
}

func main() {
	ctx := context.Background()
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = 16
	pool, err := pgxpool.ConnectConfig(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	s := &shop{pool: pool, wake: make(chan struct{}, 1)}
	if err := s.startEvents(ctx, os.Getenv("AMQP_URL")); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/orders", s)
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux))
}
