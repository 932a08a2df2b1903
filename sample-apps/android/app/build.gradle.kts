import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application) // compiles Kotlin itself
}

// The workspace's version, from its only source.
val workspaceVersion =
    providers
        .fileContents(rootProject.layout.projectDirectory.file("../../Cargo.toml"))
        .asText
        .map { Regex("""(?s)\[workspace\.package\][^\[]*?\nversion = "([^"]+)"""").find(it)!!.groupValues[1] }
        .get()

android {
    namespace = "dev.silhouette.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "dev.silhouette.sample"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = workspaceVersion
    }
    buildTypes {
        release {
            // With the library's own consumer rules and no rule of this app's.
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    // Stored uncompressed, the weights are mapped instead of read.
    androidResources { noCompress += "safetensors" }
}

kotlin {
    compilerOptions { jvmTarget = JvmTarget.JVM_17 }
}

dependencies {
    implementation("dev.silhouette:silhouette:$workspaceVersion")
    implementation(libs.coroutines.android)
}
