import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.function.Consumer;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/**
 * The AWS SDK for Java: default checksums and chunked bodies, parts, pages, conditions, presigned URLs, and a lock of one
 * object. The report is the one of harness.py: a line per check group; a comparison of ours that fails says "differs".
 */
public final class Check {
    private static final int PART_BYTES = 5 << 20;
    private static final URI ENDPOINT = URI.create(System.getenv("S3_ENDPOINT"));
    private static final Region REGION = Region.of(System.getenv("AWS_DEFAULT_REGION"));
    private static final StaticCredentialsProvider WHO = StaticCredentialsProvider.create(
            AwsBasicCredentials.create(System.getenv("AWS_ACCESS_KEY_ID"), System.getenv("AWS_SECRET_ACCESS_KEY")));
    private static final String BUCKET =
            "compat-java-" + ProcessHandle.current().pid() + "-" + Long.toHexString(System.currentTimeMillis());
    private static final S3Client CLIENT = S3Client.builder().endpointOverride(ENDPOINT).region(REGION)
            .credentialsProvider(WHO).forcePathStyle(true).build();

    private interface Group {
        void check() throws Exception;
    }

    private static int failed = 0;

    private static void group(String what, Group group) {
        try {
            group.check();
            System.out.println("PASS java: " + what);
        } catch (Exception error) {
            failed++;
            String why = String.valueOf(error).replaceAll("\\s+", " ");
            System.out.println("FAIL java: " + what + ": " + why.substring(0, Math.min(400, why.length())));
        }
    }

    private static void same(Object got, Object wanted, String what) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new IllegalStateException(what + " differs: " + got + ", wanted " + wanted);
        }
    }

    /** Requires that the call fails with this code. */
    private static void refused(String code, Runnable call) {
        try {
            call.run();
        } catch (AwsServiceException error) {
            same(error.awsErrorDetails().errorCode(), code, "code");
            return;
        }
        throw new IllegalStateException("not refused with " + code);
    }

    private static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    private static String put(String key, byte[] body, Consumer<PutObjectRequest.Builder> change) {
        PutObjectRequest.Builder request = PutObjectRequest.builder().bucket(BUCKET).key(key);
        change.accept(request);
        return CLIENT.putObject(request.build(), RequestBody.fromBytes(body)).eTag();
    }

    private static byte[] read(String key, Consumer<GetObjectRequest.Builder> change) {
        GetObjectRequest.Builder request = GetObjectRequest.builder().bucket(BUCKET).key(key);
        change.accept(request);
        return CLIENT.getObjectAsBytes(request.build()).asByteArray();
    }

    private static void holds(String key, byte[] wanted) {
        same(Arrays.equals(read(key, request -> {}), wanted), true, "equality of bytes");
    }

    private static void objects() {
        byte[] data = bytes(100_000);
        String key = "dir/a b+ü";
        put(key, data, request -> request.contentType("text/x-a").metadata(Map.of("kept", "yes")));
        var head = CLIENT.headObject(request -> request.bucket(BUCKET).key(key));
        same(head.contentType(), "text/x-a", "type");
        same(head.metadata(), Map.of("kept", "yes"), "metadata");
        same(head.contentLength(), 100_000L, "length");
        holds(key, data);
        same(read(key, request -> request.range("bytes=10-19")), Arrays.copyOfRange(data, 10, 20), "bytes of a range");
        refused("NoSuchKey", () -> read("none", request -> {}));
        CLIENT.copyObject(request -> request.sourceBucket(BUCKET).sourceKey(key)
                .destinationBucket(BUCKET).destinationKey("copy"));
        holds("copy", data);
    }

    private static void checksums() {
        byte[] data = bytes(50_000);
        for (ChecksumAlgorithm algorithm : List.of(ChecksumAlgorithm.CRC32, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256)) {
            put("sums/" + algorithm, data, request -> request.checksumAlgorithm(algorithm));
            holds("sums/" + algorithm, data);
        }
        refused("BadDigest", () -> put("sums/bad", data, request -> request.checksumCRC32("AAAAAA==")));
    }

    private static void conditions() {
        byte[] one = {1};
        byte[] two = {2};
        String first = put("cond", one, request -> request.ifNoneMatch("*"));
        refused("PreconditionFailed", () -> put("cond", two, request -> request.ifNoneMatch("*")));
        put("cond", two, request -> request.ifMatch(first));
        refused("PreconditionFailed", () -> put("cond", one, request -> request.ifMatch(first)));
        holds("cond", two);
    }

    /** What programs do that agree on one of them: who makes the object has the lock. */
    private static void lock() {
        String key = "state.tflock";
        for (String owner : List.of("{\"ID\":\"one\"}", "{\"ID\":\"two\"}")) {
            byte[] text = owner.getBytes(StandardCharsets.UTF_8);
            put(key, text, request -> request.ifNoneMatch("*"));
            refused("PreconditionFailed", () -> put(key, bytes(9), request -> request.ifNoneMatch("*")));
            holds(key, text);
            CLIENT.deleteObject(request -> request.bucket(BUCKET).key(key));
            refused("NoSuchKey", () -> read(key, request -> {}));
        }
    }

    private static void parts() {
        byte[] data = bytes(2 * PART_BYTES + 1);
        String key = "large";
        String id = CLIENT.createMultipartUpload(request -> request.bucket(BUCKET).key(key)).uploadId();
        List<CompletedPart> list = new ArrayList<>();
        for (int number = 1; (number - 1) * PART_BYTES < data.length; number++) {
            int from = (number - 1) * PART_BYTES;
            byte[] part = Arrays.copyOfRange(data, from, Math.min(from + PART_BYTES, data.length));
            int n = number;
            var sent = CLIENT.uploadPart(request -> request.bucket(BUCKET).key(key).uploadId(id).partNumber(n),
                    RequestBody.fromBytes(part));
            list.add(CompletedPart.builder().partNumber(n).eTag(sent.eTag()).checksumCRC32(sent.checksumCRC32()).build());
        }
        same(CLIENT.listParts(request -> request.bucket(BUCKET).key(key).uploadId(id)).parts().size(), 3, "parts");
        var done = CLIENT.completeMultipartUpload(request -> request.bucket(BUCKET).key(key).uploadId(id)
                .multipartUpload(upload -> upload.parts(list)));
        same(done.eTag().endsWith("-3\""), true, "count of parts in the ETag");
        holds(key, data);
        String other = CLIENT.createMultipartUpload(request -> request.bucket(BUCKET).key("given up")).uploadId();
        CLIENT.abortMultipartUpload(request -> request.bucket(BUCKET).key("given up").uploadId(other));
        same(CLIENT.listMultipartUploads(request -> request.bucket(BUCKET)).uploads().size(), 0, "number of uploads");
    }

    private static List<String> keys(String prefix) {
        List<String> keys = new ArrayList<>();
        CLIENT.listObjectsV2Paginator(request -> request.bucket(BUCKET).prefix(prefix).maxKeys(7)).contents()
                .forEach(object -> keys.add(object.key()));
        return keys;
    }

    private static void listings() {
        List<String> wanted = new ArrayList<>();
        for (int n = 0; n < 40; n++) {
            String key = String.format("list/%03d", n);
            wanted.add(key);
            put(key, key.getBytes(StandardCharsets.UTF_8), request -> {});
        }
        same(keys("list/"), wanted, "listing");
        List<String> prefixes = CLIENT.listObjectsV2(request -> request.bucket(BUCKET).delimiter("/")).commonPrefixes()
                .stream().map(prefix -> prefix.prefix()).toList();
        same(prefixes, List.of("dir/", "list/", "sums/"), "common prefixes");
    }

    private static void presigned() throws Exception {
        HttpClient http = HttpClient.newHttpClient();
        try (S3Presigner signer = S3Presigner.builder().endpointOverride(ENDPOINT).region(REGION).credentialsProvider(WHO)
                .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build()).build()) {
            URI up = signer.presignPutObject(sign -> sign.signatureDuration(Duration.ofMinutes(1))
                    .putObjectRequest(request -> request.bucket(BUCKET).key("signed"))).url().toURI();
            HttpRequest sent = HttpRequest.newBuilder(up).PUT(HttpRequest.BodyPublishers.ofString("by URL")).build();
            same(http.send(sent, HttpResponse.BodyHandlers.ofString()).statusCode(), 200, "status of the PUT");
            URI down = signer.presignGetObject(sign -> sign.signatureDuration(Duration.ofMinutes(1))
                    .getObjectRequest(request -> request.bucket(BUCKET).key("signed"))).url().toURI();
            String got = http.send(HttpRequest.newBuilder(down).build(), HttpResponse.BodyHandlers.ofString()).body();
            same(got, "by URL", "bytes");
        }
    }

    private static void deletes() {
        List<ObjectIdentifier> all =
                keys("").stream().map(key -> ObjectIdentifier.builder().key(key).build()).toList();
        var done = CLIENT.deleteObjects(request -> request.bucket(BUCKET).delete(delete -> delete.objects(all)));
        same(done.deleted().size(), all.size(), "number of deleted");
        CLIENT.deleteBucket(request -> request.bucket(BUCKET));
    }

    public static void main(String[] arguments) {
        group("create the bucket", () -> CLIENT.createBucket(request -> request.bucket(BUCKET)));
        group("objects, ranges, copies", Check::objects);
        group("checksums", Check::checksums);
        group("conditional writes", Check::conditions);
        group("a lock of one object", Check::lock);
        group("upload in parts", Check::parts);
        group("pages of a listing", Check::listings);
        group("presigned PUT and GET", Check::presigned);
        group("delete everything and the bucket", Check::deletes);
        System.exit(Math.min(failed, 70));
    }
}
