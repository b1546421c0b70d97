// SPDX-License-Identifier: MIT
//
// Handshake - how Java's own PKIX code judges servers of this machine, in real handshakes.
//
// java tests/e2e/tls/Handshake.java ROOT HOST PORT [HOST PORT]...
//
// Connects to each port of 127.0.0.1, trusting the certificate in ROOT alone, and holds the server to
// the name or address HOST. Prints a line for each: "ok", or "refused: " and the reason.

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

public class Handshake {
    private static final int PATIENCE_MS = 30000;

    private static SSLSocketFactory trusting(String root) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream in = new FileInputStream(root)) {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            store.setCertificateEntry("root", factory.generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    private static String judge(SSLSocketFactory factory, String host, int port) {
        try (Socket plain = new Socket(InetAddress.getByName("127.0.0.1"), port)) {
            plain.setSoTimeout(PATIENCE_MS);
            SSLSocket socket = (SSLSocket) factory.createSocket(plain, host, port, false);
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.startHandshake();
            return "ok";
        } catch (IOException failure) {
            return "refused: " + failure.getMessage();
        }
    }

    public static void main(String[] arguments) throws Exception {
        SSLSocketFactory factory = trusting(arguments[0]);
        for (int i = 1; i + 1 < arguments.length; i += 2) {
            int port = Integer.parseInt(arguments[i + 1]);
            System.out.println(judge(factory, arguments[i], port));
        }
    }
}
