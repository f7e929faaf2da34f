package main

import (
	"context"
	"encoding/json"
	"log"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	exchange = "compare.go"
	queue    = "compare.go.notify"
	page     = 500
)

// startEvents begins to publish what is in the outbox, and to handle what arrives.
func (s *shop) startEvents(ctx context.Context, url string) error {
	connection, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	publisher, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := publisher.ExchangeDeclare(exchange, "topic", true, false, false, false, nil); err != nil {
		return err
	}
	if err := publisher.Confirm(false); err != nil {
		return err
	}
	listener, err := connection.Channel()
	if err != nil {
		return err
	}
	quorum := amqp.Table{"x-queue-type": "quorum"}
	if _, err := listener.QueueDeclare(queue, true, false, false, false, quorum); err != nil {
		return err
	}
	if err := listener.QueueBind(queue, "order.placed", exchange, false, nil); err != nil {
		return err
	}
	if err := listener.Qos(64, 0, false); err != nil {
		return err
	}
	deliveries, err := listener.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	go s.relay(ctx, publisher)
	for worker := 0; worker < 16; worker++ {
		go s.listen(ctx, deliveries)
	}
	return nil
}

func (s *shop) relay(ctx context.Context, channel *amqp.Channel) {
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, page))
	for {
		sent, err := s.publish(ctx, channel, confirms)
		if err != nil {
			log.Fatal("relay: ", err)
		}
		if sent == 0 {
			select {
			case <-s.wake:
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
}

func (s *shop) publish(ctx context.Context, channel *amqp.Channel, confirms <-chan amqp.Confirmation) (int, error) {
	rows, err := s.pool.Query(ctx,
		"SELECT position, id::text, name, body::text FROM outbox WHERE NOT sent ORDER BY position LIMIT $1", page)
	if err != nil {
		return 0, err
	}
	var positions []int64
	for rows.Next() {
		var position int64
		var id, name, body string
		if err := rows.Scan(&position, &id, &name, &body); err != nil {
			return 0, err
		}
		err := channel.PublishWithContext(ctx, exchange, name, true, false, amqp.Publishing{
			MessageId: id, DeliveryMode: amqp.Persistent, ContentType: "application/json", Body: []byte(body),
		})
		if err != nil {
			return 0, err
		}
		positions = append(positions, position)
	}
	if err := rows.Err(); err != nil || len(positions) == 0 {
		return 0, err
	}
	for range positions {
		<-confirms
	}
	_, err = s.pool.Exec(ctx, "UPDATE outbox SET sent = true WHERE position = ANY($1)", positions)
	return len(positions), err
}

func (s *shop) listen(ctx context.Context, deliveries <-chan amqp.Delivery) {
	for delivery := range deliveries {
		var event struct{ Order order }
		if err := json.Unmarshal(delivery.Body, &event); err != nil {
			log.Fatal("listener: ", err)
		}
		if err := s.notify(ctx, delivery.MessageId, event.Order); err != nil {
			log.Print("listener: ", err)
			_ = delivery.Nack(false, true)
			continue
		}
		_ = delivery.Ack(false)
	}
}

func (s *shop) notify(ctx context.Context, event string, placed order) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `INSERT INTO notifications (id, event_id, user_id, title)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, newID(), event, placed.UserID, "Order "+placed.Number); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO emails (id, event_id, user_id, status)
		VALUES ($1, $2, $3, 'PENDING') ON CONFLICT DO NOTHING`, newID(), event, placed.UserID); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
