package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

public final class InstrumentationRegistry {
  private static Instrumentation instrumentation;
  private static Bundle arguments;

  public static void registerInstance(Instrumentation instrumentation, Bundle arguments) {
    InstrumentationRegistry.instrumentation = instrumentation;
    InstrumentationRegistry.arguments = arguments;
  }

  public static Instrumentation getInstrumentation() {
    return instrumentation;
  }

  public static Bundle getArguments() {
    return arguments;
  }
}
