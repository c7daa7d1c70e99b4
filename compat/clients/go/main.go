// The AWS SDK for Go: default checksums, the transfer manager, pages, conditions, presigned URLs.
// The report is the one of harness.py: a line per check group; a comparison of ours that fails says "differs".
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const mib = 1024 * 1024

var (
	ctx    = context.Background()
	bucket = aws.String(fmt.Sprintf("compat-go-%x-%x", os.Getpid(), time.Now().UnixMilli()))
	client = s3.New(s3.Options{
		BaseEndpoint: aws.String(os.Getenv("S3_ENDPOINT")),
		Region:       os.Getenv("AWS_DEFAULT_REGION"),
		UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(
			os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
		RetryMaxAttempts: 2,
	})
	failed int
)

func group(what string, check func() error) {
	if err := check(); err != nil {
		failed++
		why := strings.Join(strings.Fields(err.Error()), " ")
		fmt.Printf("FAIL go: %s: %.400s\n", what, why)
		return
	}
	fmt.Printf("PASS go: %s\n", what)
}

func same(got, wanted any, what string) error {
	if reflect.DeepEqual(got, wanted) {
		return nil
	}
	return fmt.Errorf("%s differs: %.120s, wanted %.120s", what, fmt.Sprint(got), fmt.Sprint(wanted))
}

// refused says whether the call failed with this code.
func refused(err error, code string) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return same(api.ErrorCode(), code, "code")
	}
	return fmt.Errorf("not refused with %s: %v", code, err)
}

func put(key string, body []byte, change ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	input := &s3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: bytes.NewReader(body)}
	for _, change := range change {
		change(input)
	}
	return client.PutObject(ctx, input)
}

func read(key string, change ...func(*s3.GetObjectInput)) ([]byte, error) {
	input := &s3.GetObjectInput{Bucket: bucket, Key: aws.String(key)}
	for _, change := range change {
		change(input)
	}
	answer, err := client.GetObject(ctx, input)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

func holds(key string, wanted []byte) error {
	got, err := read(key)
	if err != nil {
		return err
	}
	return same(bytes.Equal(got, wanted), true, "equality of bytes")
}

func random(bytes int) []byte {
	data := make([]byte, bytes)
	_, _ = rand.Read(data)
	return data
}

func objects() error {
	data := random(100_000)
	key := "dir/a b+ü"
	if _, err := put(key, data, func(in *s3.PutObjectInput) {
		in.ContentType = aws.String("text/x-a")
		in.Metadata = map[string]string{"kept": "yes"}
	}); err != nil {
		return err
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: &key})
	if err != nil {
		return err
	}
	tail, err := read(key, func(in *s3.GetObjectInput) { in.Range = aws.String("bytes=-7") })
	if err != nil {
		return err
	}
	_, gone := read("none")
	source := fmt.Sprintf("%s/dir/a%%20b%%2B%%C3%%BC", *bucket)
	_, copied := client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: &source})
	return errors.Join(
		same(*head.ContentType, "text/x-a", "type"),
		same(head.Metadata, map[string]string{"kept": "yes"}, "metadata"),
		same(*head.ContentLength, int64(len(data)), "length"),
		holds(key, data), same(tail, data[len(data)-7:], "bytes of a range"),
		refused(gone, "NoSuchKey"), copied, holds("copy", data))
}

func checksums() error {
	data := random(50_000)
	for _, algorithm := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c,
		types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256} {
		key := "sums/" + string(algorithm)
		if _, err := put(key, data, func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm }); err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
		if err := holds(key, data); err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
	}
	_, err := put("sums/bad", data, func(in *s3.PutObjectInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") })
	return refused(err, "BadDigest")
}

func conditions() error {
	create := func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }
	first, err := put("cond", []byte("one"), create)
	if err != nil {
		return err
	}
	over := func(in *s3.PutObjectInput) { in.IfMatch = first.ETag }
	_, again := put("cond", []byte("two"), create)
	_, second := put("cond", []byte("two"), over)
	_, third := put("cond", []byte("three"), over)
	return errors.Join(refused(again, "PreconditionFailed"), second, refused(third, "PreconditionFailed"),
		holds("cond", []byte("two")))
}

// What has no end that is known before: in parts, several at once.
func parts() error {
	data := random(17*mib + 1)
	//nolint:staticcheck // The manager is what programs use today.
	uploader := manager.NewUploader(client, func(u *manager.Uploader) { u.PartSize = 5 * mib })
	if _, err := uploader.Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("large"),
		Body: io.MultiReader(bytes.NewReader(data))}); err != nil {
		return err
	}
	into := manager.NewWriteAtBuffer(nil)
	downloader := manager.NewDownloader(client, func(d *manager.Downloader) { d.PartSize = 5 * mib })
	if _, err := downloader.Download(ctx, into, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("large")}); err != nil {
		return err
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("large")})
	if err != nil {
		return err
	}
	return errors.Join(same(bytes.Equal(into.Bytes(), data), true, "equality of bytes"),
		same(strings.HasSuffix(*head.ETag, `-4"`), true, "count of parts in the ETag"))
}

func keys(prefix string) ([]string, error) {
	found := []string{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &prefix,
		MaxKeys: aws.Int32(7)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, entry := range page.Contents {
			found = append(found, *entry.Key)
		}
	}
	return found, nil
}

func listings() error {
	wanted := []string{}
	for n := range 40 {
		key := fmt.Sprintf("list/%03d", n)
		wanted = append(wanted, key)
		if _, err := put(key, []byte(key)); err != nil {
			return err
		}
	}
	found, err := keys("list/")
	return errors.Join(err, same(found, wanted, "listing"))
}

func presigned() error {
	signer := s3.NewPresignClient(client)
	up, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("signed")})
	if err != nil {
		return err
	}
	request, _ := http.NewRequest(up.Method, up.URL, strings.NewReader("by URL"))
	request.Header = up.SignedHeader.Clone()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	down, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("signed")})
	if err != nil {
		return err
	}
	got, err := http.Get(down.URL)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return errors.Join(err, same(answer.StatusCode, 200, "status of the PUT"), same(string(text), "by URL", "bytes"))
}

func deletes() error {
	found, err := keys("")
	if err != nil {
		return err
	}
	objects := []types.ObjectIdentifier{}
	for _, key := range found {
		objects = append(objects, types.ObjectIdentifier{Key: aws.String(key)})
	}
	done, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: objects}})
	if err != nil {
		return err
	}
	_, err = client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	return errors.Join(err, same(len(done.Deleted), len(found), "number of deleted"))
}

func main() {
	group("create the bucket", func() error {
		_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
		return err
	})
	group("objects, ranges, copies", objects)
	group("checksums", checksums)
	group("conditional writes", conditions)
	group("upload and download in parts", parts)
	group("pages of a listing", listings)
	group("presigned PUT and GET", presigned)
	group("delete everything and the bucket", deletes)
	os.Exit(min(failed, 70))
}
