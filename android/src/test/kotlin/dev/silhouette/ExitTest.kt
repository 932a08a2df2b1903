// A program that forgot to close its stream still ends.
package dev.silhouette

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit.SECONDS

/** `ForgetfulProgram MODEL`: receives a result of a stream and returns from main. */
internal object ForgetfulProgram {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val segmenter = Segmenter(Model.open(arguments[0]), Options(threads = 1))
        val came = CountDownLatch(1)
        var thread: Thread? = null
        val live =
            LiveSegmenter(segmenter) { result ->
                result.get().close()
                thread = Thread.currentThread()
                came.countDown()
            }
        live.submit(Fixture.frame(), 0)
        check(came.await(20, SECONDS))
        println("a result on ${thread?.name}, alive: ${thread?.isAlive}")
    }
}

internal class ExitTest {
    @Test
    fun aStreamThatNobodyClosedDoesNotHoldUpTheExit() {
        val library = System.getProperty("silhouette.library")
        val classes = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
        val java = File(System.getProperty("java.home"), "bin/java").path
        val said = File.createTempFile("silhouette-exit", ".txt")
        val program =
            ProcessBuilder(
                java,
                "-Dsilhouette.library=$library",
                "-Dsilhouette.root=${Fixture.root}",
                "-Dsilhouette.fixture=${Fixture.path}",
                "-cp",
                classes,
                ForgetfulProgram::class.java.name,
                Fixture.path,
            ).redirectErrorStream(true).redirectOutput(said).start()
        try {
            assertTrue("still running; it said: ${said.readText()}", program.waitFor(60, SECONDS))
            assertEquals(said.readText(), 0, program.exitValue())
            assertEquals("a result on silhouette-live, alive: true", said.readText().trim())
        } finally {
            program.destroyForcibly()
            said.delete()
        }
    }
}
