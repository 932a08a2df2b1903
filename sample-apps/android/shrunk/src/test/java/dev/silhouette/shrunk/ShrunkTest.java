package dev.silhouette.shrunk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import java.io.File;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.zip.ZipFile;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** What ProGuard left of the consumer still works. In Java: Kotlin's library is inside the shrunk jar, and only what the consumer needs of it. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class ShrunkTest {
  @Test
  @SuppressWarnings("unchecked")
  public void segmentsAFrameInEveryWay() throws Exception {
    BitmapFactory.Options options = new BitmapFactory.Options();
    options.inScaled = false;
    Bitmap picture = BitmapFactory.decodeFile(System.getProperty("silhouette.images") + "/astronaut.png", options);
    Class<? extends Activity> consumer = (Class<? extends Activity>) Class.forName("dev.silhouette.shrunk.ConsumerActivity");
    Activity activity = Robolectric.buildActivity(consumer, new Intent().putExtra("picture", picture)).create().get();
    String report = activity.getTitle().toString();

    Map<String, String> said = new HashMap<>();
    for (String line : report.split("\n")) {
      int space = line.lastIndexOf(line.startsWith("cutout") ? "cutout " : " ");
      if (line.startsWith("cutout")) said.put("cutout", line.substring(7));
      else said.put(line.substring(0, space), line.substring(space + 1));
    }
    for (String way : new String[] {"people", "segment", "video", "live"}) {
      int percent = Integer.parseInt(said.get(way));
      assertTrue(way + ": the person covers " + percent + " %\n" + report, percent > 25 && percent < 65);
    }
    // The opacity of a corner and of the suit: a cut-out is as opaque as the network is certain.
    String[] opacities = said.get("cutout").split(" ");
    assertTrue(report, Integer.parseInt(opacities[0]) < 16 && Integer.parseInt(opacities[1]) > 200);
    assertEquals(report, "true", said.get("polygons"));
    assertEquals(report, "true", said.get("shares"));
    assertEquals(report, "refused", said.get("short plane"));
    assertEquals(report, "refused", said.get("unknown class"));
  }

  @Test
  public void theRulesKeepNoMoreThanTheyMust() throws Exception {
    Set<String> before = classes(System.getProperty("silhouette.aar"));
    Set<String> after = classes(System.getProperty("silhouette.shrunk"));
    assertTrue(before.contains("dev/silhouette/Frame.class"));
    assertFalse("renamed", after.contains("dev/silhouette/Frame.class"));
    assertTrue("what JNI finds by name", after.contains("dev/silhouette/Native.class"));
    assertThrows(ClassNotFoundException.class, () -> Class.forName("dev.silhouette.Frame"));
    assertFalse("Kotlin's own", after.contains("kotlin/collections/CollectionsKt.class"));
  }

  private static Set<String> classes(String jar) throws Exception {
    Set<String> names = new HashSet<>();
    try (ZipFile zip = new ZipFile(new File(jar))) {
      zip.stream().forEach(entry -> names.add(entry.getName()));
    }
    return names;
  }
}
