import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Java's HttpClient as it comes: for each URL a GET, two POSTs, and twenty GETs in a row. Only the authority is ours. */
public class Defaults {
    public static void main(String[] arguments) throws Exception {
        for (int at = 1; at < arguments.length; at++) {
            HttpClient client = HttpClient.newBuilder().sslContext(trusting(Path.of(arguments[0]))).build();
            URI uri = URI.create(arguments[at]);
            say(client, HttpRequest.newBuilder(uri).build());
            say(client, HttpRequest.newBuilder(uri).POST(BodyPublishers.ofString("some text")).build());
            say(client, HttpRequest.newBuilder(uri).POST(BodyPublishers.noBody()).build());
            for (int turn = 0; turn < 20; turn++) {
                say(client, HttpRequest.newBuilder(uri).build());
            }
        }
    }

    static void say(HttpClient client, HttpRequest request) throws Exception {
        HttpResponse<String> answer = client.send(request, BodyHandlers.ofString());
        System.out.println(request.method() + " " + answer.version() + " " + answer.statusCode() + " " + answer.body());
    }

    static SSLContext trusting(Path authority) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream file = Files.newInputStream(authority)) {
            store.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
