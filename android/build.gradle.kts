// The Android library. The native libraries come from scripts/build-android (run it first), the weights from core/segmenter/models.
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin) apply false // the Android plugin compiles Kotlin itself; this says with which version
    `maven-publish`
}

val home = "https://github.com/silhouette-sdk/silhouette"

group = "dev.silhouette"
// The workspace's version, from its only source.
version =
    providers
        .fileContents(layout.projectDirectory.file("../Cargo.toml"))
        .asText
        .map { Regex("""(?s)\[workspace\.package\][^\[]*?\nversion = "([^"]+)"""").find(it)!!.groupValues[1] }
        .get()

android {
    namespace = "dev.silhouette"
    compileSdk = 36

    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
        aarMetadata { minCompileSdk = 24 }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    sourceSets {
        getByName("main") { jniLibs.directories.add("../build/android/jni") }
        getByName("androidTest") { assets.directories.add("../docs/images") }
    }
    androidResources { noCompress += "safetensors" }
    packaging { jniLibs.keepDebugSymbols += "**/*.so" } // they are stripped already, with their symbols beside
    publishing {
        singleVariant("release") {
            withSourcesJar()
            withJavadocJar()
        }
    }
}

kotlin {
    explicitApi()
    compilerOptions { jvmTarget = JvmTarget.JVM_11 }
}

/** Puts the weights where `Model.people` and `Model.voc21` look for them. */
abstract class WeightsAsset : DefaultTask() {
    @get:InputFiles
    @get:PathSensitive(PathSensitivity.NAME_ONLY)
    abstract val weights: ConfigurableFileCollection

    @get:OutputDirectory
    abstract val assets: DirectoryProperty

    @TaskAction
    fun copy() {
        val folder = assets.get().dir("silhouette")
        for (file in weights) file.copyTo(folder.file(file.name).asFile, overwrite = true)
    }
}

val weightsAsset =
    tasks.register<WeightsAsset>("weightsAsset") {
        val models = layout.projectDirectory.dir("../core/segmenter/models")
        weights.from(models.file("silhouette-person.safetensors"), models.file("silhouette-voc21.safetensors"))
    }

androidComponents {
    onVariants { variant -> variant.sources.assets?.addGeneratedSourceDirectory(weightsAsset, WeightsAsset::assets) }
}

dependencies {
    api(libs.kotlin.stdlib)
    api(libs.coroutines)
    implementation(libs.jna) { artifact { type = "aar" } }

    androidTestImplementation(libs.junit)
    androidTestImplementation(libs.androidx.test.runner)
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "silhouette"
            afterEvaluate { from(components["release"]) }
            pom {
                name = "Silhouette"
                description = "Segmentation of camera frames and photos on the device"
                url = home
                licenses {
                    license {
                        name = "MIT"
                        url = "$home/blob/main/LICENSE-MIT"
                    }
                    license {
                        name = "Apache-2.0"
                        url = "$home/blob/main/LICENSE-APACHE"
                    }
                }
                developers {
                    developer {
                        name = "The Silhouette authors"
                        url = home
                    }
                }
                scm {
                    connection = "scm:git:$home.git"
                    url = home
                }
            }
        }
    }
    repositories {
        maven {
            name = "folder"
            url = uri("../build/android/gradle-maven")
        }
    }
}
