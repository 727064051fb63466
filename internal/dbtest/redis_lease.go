//go:build unix

package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
)

// The databases of a shared server that are handed out; 0 holds the locks.
const firstDatabase, lastDatabase = 1, 15

// leaseTime frees the database of a test process that died. Each lease is renewed several times within it.
const leaseTime = 20 * time.Minute

// redisLease holds one numbered database of a shared server.
type redisLease struct {
	opts   *redis.Options
	token  string
	number int
}

// take waits for a free database, marks it as taken and empties it.
func (l *redisLease) take(ctx context.Context) error {
	locks := l.client(0)
	defer locks.Close()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		for n := firstDatabase; n <= lastDatabase; n++ {
			err := locks.SetArgs(ctx, lockKey(n), l.token, redis.SetArgs{Mode: "NX", TTL: leaseTime}).Err()
			if err == nil {
				l.number = n
				return true, nil
			}
			if !errors.Is(err, redis.Nil) {
				return false, fmt.Errorf("dbtest: lock a redis database: %w", err)
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	// A process that died has released its lease by the timeout only, and left its keys.
	return l.empty(ctx)
}

// keep renews the lease until ctx is done.
func (l *redisLease) keep(ctx context.Context, every time.Duration) {
	locks := l.client(0)
	defer locks.Close()
	renew := redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then
		return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end return 0`)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			// An error shows when the database is given up. A lease that ran out may be another process's by now.
			_ = renew.Run(ctx, locks, []string{lockKey(l.number)}, l.token, leaseTime.Milliseconds()).Err()
		case <-ctx.Done():
			return
		}
	}
}

// release empties the database and gives it up, unless the lease ran out and another test has it now.
func (l *redisLease) release(ctx context.Context) error {
	locks := l.client(0)
	defer locks.Close()
	holder, err := locks.Get(ctx, lockKey(l.number)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("dbtest: unlock redis database %d: %w", l.number, err)
	}
	// The lease ran out: two tests have used the database at the same time, and neither result counts.
	if holder != l.token {
		return fmt.Errorf("dbtest: redis database %d is no longer ours", l.number)
	}
	// Before the lock is given up: after that the database belongs to another test.
	if err := l.empty(ctx); err != nil {
		return err
	}
	if err := locks.Del(ctx, lockKey(l.number)).Err(); err != nil {
		return fmt.Errorf("dbtest: unlock redis database %d: %w", l.number, err)
	}
	return nil
}

func (l *redisLease) empty(ctx context.Context) error {
	own := l.client(l.number)
	defer own.Close()
	if err := own.FlushDB(ctx).Err(); err != nil {
		return fmt.Errorf("dbtest: empty redis database %d: %w", l.number, err)
	}
	return nil
}

func (l *redisLease) client(db int) *redis.Client {
	opts := *l.opts
	opts.DB = db
	return redis.NewClient(&opts)
}

func lockKey(n int) string { return fmt.Sprintf("pulpcore:dbtest:%d", n) }

// redisDatabaseURL returns the URL of another database on the same server.
func redisDatabaseURL(server string, db int) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("dbtest: %s is not a redis:// URL", RedisEnv)
	}
	q := u.Query()
	q.Del("db") // would win over the path
	u.RawQuery = q.Encode()
	u.Path, u.RawPath = fmt.Sprintf("/%d", db), ""
	return u.String(), nil
}

// poll calls ready until it returns true or an error, or ctx is done.
func poll(ctx context.Context, every time.Duration, ready func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		done, err := ready()
		if done || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("dbtest: wait for a server: %w", context.Cause(ctx))
		}
	}
}
